package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro/ocf"
)

// errCodec is wrapped when a reader says that it does not know a codec.
var errCodec = errors.New("unknown codec")

// reader is an implementation of Avro.
type reader struct {
	name     string
	wrapped  bool            // see layout
	missing  func() string   // why it cannot be used here, or ""
	codecs   map[string]bool // what it is expected to read
	untilNUL bool            // it prints strings up to their first NUL

	// read gives the records of a file one by one, many those of many files.
	read func(path string, record func(v any) error) error
	many func(paths []string, file func(path string, records []any, err error)) error
}

var codecs = []string{"deflate", "null", "zstandard", "snappy"}

func set(names ...string) map[string]bool {
	m := make(map[string]bool)
	for _, n := range names {
		m[n] = true
	}
	return m
}

// readers are all of them. The table in docs/formats.md is theirs.
var readers = []*reader{
	{
		name:     "Avro C tools (avrocat)",
		wrapped:  true,
		missing:  missingAvrocat,
		codecs:   set("deflate", "null", "snappy"),
		untilNUL: true,
		read:     readAvrocat,
	},
	{
		name:    "Python (avro)",
		missing: missingPython,
		codecs:  set("deflate", "null", "zstandard", "snappy"),
		many:    allPython,
	},
	{
		name:    "Go (linkedin/goavro)",
		wrapped: true,
		missing: func() string { return "" },
		codecs:  set("deflate", "null", "snappy"),
		read:    readGoavro,
	},
	{
		name:    "Go (twmb/avro)",
		missing: func() string { return "" },
		codecs:  set("deflate", "null", "zstandard", "snappy"),
		read:    readTwmb,
	},
}

func missingAvrocat() string {
	if _, err := exec.LookPath("avrocat"); err != nil {
		return "no avrocat: install Debian's avro-bin, or the Avro C tools"
	}
	return ""
}

// python is Debian's own: its packages are not those of other Pythons on the path.
const python = "/usr/bin/python3"

func missingPython() string {
	out, err := exec.Command(python, "-c", "import avro.datafile, snappy, zstandard").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("install Debian's python3-avro, python3-snappy and python3-zstandard: %v %s", err, out)
	}
	return ""
}

func readGoavro(path string, record func(any) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := goavro.NewOCFReader(bufio.NewReader(f))
	if err != nil {
		if strings.Contains(err.Error(), "unrecognized compression algorithm") {
			err = fmt.Errorf("%w: %w", errCodec, err)
		}
		return err
	}
	for r.Scan() {
		v, err := r.Read()
		if err != nil {
			return err
		}
		if err := record(v); err != nil {
			return err
		}
	}
	return r.Err()
}

func readTwmb(path string, record func(any) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := ocf.NewReader(bufio.NewReader(f))
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		var v any
		if err := r.Decode(&v); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := record(v); err != nil {
			return err
		}
	}
}

// readAvrocat reads the JSON encoding of Avro, a record a line.
func readAvrocat(path string, record func(any) error) error {
	cmd := exec.Command("avrocat", path)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if strings.Contains(complaint.String(), "unknown codec") {
		return fmt.Errorf("%w: %s", errCodec, complaint.Bytes())
	}
	if err != nil || complaint.Len() > 0 {
		return fmt.Errorf("%v: %s", err, complaint.Bytes())
	}
	d := json.NewDecoder(&out)
	d.UseNumber()
	for {
		var v any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := record(v); err != nil {
			return err
		}
	}
}

// runPython runs testdata/read.py and gives its lines.
func runPython(mode string, paths []string, line func([]byte) error) error {
	cmd := exec.Command(python, append([]string{"testdata/read.py", mode}, paths...)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewReaderSize(out, 1<<20)
	for {
		b, readErr := lines.ReadBytes('\n')
		if readErr != nil {
			break
		}
		if err == nil {
			err = line(b[:len(b)-1])
		}
	}
	return errors.Join(err, cmd.Wait(), complaintOf(&complaint))
}

func complaintOf(b *bytes.Buffer) error {
	if b.Len() == 0 {
		return nil
	}
	return errors.New(b.String())
}

// frame is a line of read.py that is no record.
type frame struct {
	Path  string
	Error string
	Count *int
}

// allPython reads many files in one run: starting the interpreter takes longer than most files.
func allPython(paths []string, file func(path string, records []any, err error)) error {
	var path string
	var records []any
	return runPython("records", paths, func(line []byte) error {
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		var v map[string]any
		if err := d.Decode(&v); err != nil {
			return err
		}
		if v["dataset_id"] != nil {
			records = append(records, v)
			return nil
		}
		var f frame
		if err := json.Unmarshal(line, &f); err != nil {
			return err
		}
		switch {
		case f.Count == nil:
			path, records = f.Path, nil
		case f.Error != "":
			file(path, nil, errors.New(f.Error))
		case *f.Count != len(records):
			file(path, nil, fmt.Errorf("%d records arrived of %d", len(records), *f.Count))
		default:
			file(path, records, nil)
		}
		return nil
	})
}

// all gives the records of many files.
func (r *reader) all(paths []string, file func(path string, records []any, err error)) error {
	if r.many != nil {
		return r.many(paths, file)
	}
	for _, path := range paths {
		var records []any
		err := r.read(path, func(v any) error {
			records = append(records, v)
			return nil
		})
		file(path, records, err)
	}
	return nil
}

// headsPython gives dataset and time of each record of many files, which is quicker than the whole
// records. file is called before the records of each.
func headsPython(paths []string, file func(path string), record func(dataset string, ms int64)) error {
	return runPython("heads", paths, func(line []byte) error {
		if dataset, time, ok := strings.Cut(string(line), "\t"); ok {
			ms, err := strconv.ParseInt(time, 10, 64)
			record(dataset, ms)
			return err
		}
		var f frame
		if err := json.Unmarshal(line, &f); err != nil {
			return err
		}
		if f.Error != "" {
			return errors.New(f.Error)
		}
		if f.Count == nil {
			file(f.Path)
		}
		return nil
	})
}
