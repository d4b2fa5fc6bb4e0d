package foreign

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// manifestRow is a line of the list of real Avro files.
type manifestRow struct {
	path, codec, topType, verdict string
	records                       int
}

func manifest(t testing.TB, dir string) []manifestRow {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "MANIFEST.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []manifestRow
	var cols map[string]int
	for s := bufio.NewScanner(f); s.Scan(); {
		cells := strings.Split(s.Text(), "\t")
		if cols == nil {
			cols = map[string]int{}
			for i, c := range cells {
				cols[c] = i
			}
			continue
		}
		row := manifestRow{
			path:  filepath.Join(filepath.Dir(dir), filepath.FromSlash(cells[cols["file"]])),
			codec: cells[cols["codec"]], topType: cells[cols["top_type"]], verdict: cells[cols["verdict"]],
		}
		row.records, _ = strconv.Atoi(cells[cols["records"]])
		rows = append(rows, row)
	}
	return rows
}

// TestRealFiles reads every file of other writers: the whole ones of records give as many as they have, the others
// their kind of error.
func TestRealFiles(t *testing.T) {
	read, notRecord, broken := 0, 0, 0
	for _, row := range manifest(t, dataDir(t)) {
		f, err := os.Open(row.path)
		if err != nil {
			t.Fatal(err)
		}
		recs, err := readAll(f, Options{})
		f.Close()
		name := filepath.Base(row.path)
		switch {
		case row.verdict != "reads":
			broken++
			if err == nil {
				t.Errorf("%s: %s, but %d records were read", name, row.verdict, len(recs))
			} else if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNotRecord) {
				t.Errorf("%s: unmarked error %v", name, err)
			}
		case row.topType == "record" || row.topType == "error":
			read++
			if err != nil || len(recs) != row.records {
				t.Errorf("%s: %d of %d records, %v", name, len(recs), row.records, err)
			}
		default:
			notRecord++
			if !errors.Is(err, ErrNotRecord) {
				t.Errorf("%s: top type %s: %v", name, row.topType, err)
			}
		}
	}
	if read < 60 || notRecord < 5 || broken < 10 {
		t.Errorf("%d files read, %d not of records, %d broken", read, notRecord, broken)
	}
}

// TestRealValues compares records of real files with what their sources say they hold.
func TestRealValues(t *testing.T) {
	dir := dataDir(t)
	for _, row := range []struct {
		file  string
		index int
		want  string
	}{
		{"apache-avro/weather.avro", 0, `{"station":"011990-99999","time":-619524000000,"temp":0}`},
		{"apache-avro/weather-zstd.avro", 2, `{"station":"011990-99999","time":-619484400000,"temp":-11}`},
		{"apache-avro/person-10.no-codec.avro", 0, `{"name":"r","age":906,"gender":"MALE","address":{"zipcode":631}}`},
		{"fastavro/recursive.avro", 0, `{"value":989,"next":{"value":990,"next":null}}`},
		{"fastavro/no-fields.avro", 0, `{}`},
		{"fastavro/error-type.avro", 0, `{"message":"error message"}`},
		{"arrow-testing/int256_decimal.avro", 23, `{"value":24.0000000000}`},
		{"arrow-testing/fixed_length_decimal_legacy.avro", 23, `{"value":24.00}`},
		{"arrow-testing/duration_uuid.avro", 0, `{"duration_field":{"months":1,"days":15,"milliseconds":500},"uuid_field":"fe7bc30b-4ce8-4c5e-b67c-2234a2d38e66"}`},
		{"arrow-testing/alltypes_plain.xz.avro", 0, `{"id":4,"bool_col":true,"tinyint_col":0,"smallint_col":0,"int_col":0,"bigint_col":0,"float_col":0,"double_col":0,"date_string_col":"MDMvMDEvMDk=","string_col":"MA==","timestamp_col":"2009-03-01T00:00:00.000000Z"}`},
		{"arrow-testing/alltypes_plain.bzip2.avro", 1, `{"id":5,"bool_col":false,"tinyint_col":1,"smallint_col":1,"int_col":1,"bigint_col":10,"float_col":1.1,"double_col":10.1,"date_string_col":"MDMvMDEvMDk=","string_col":"MQ==","timestamp_col":"2009-03-01T00:01:00.000000Z"}`},
		{"arrow-testing/nested_lists.snappy.avro", 0, `{"a":[[["a","b"],["c"]],[null,["d"]]],"b":1}`},
		{"kylo/userdata1.avro", 0, `{"registration_dttm":"2016-02-03T07:55:29Z","id":1,"first_name":"Amanda","last_name":"Jordan","email":"ajordan0@com.com","gender":"Female","ip_address":"1.197.201.2","cc":6759521864920116,"country":"Indonesia","birthdate":"3/8/1971","salary":49756.53,"title":"Internal Auditor","comments":"1E+02"}`},
	} {
		f, err := os.Open(filepath.Join(dir, row.file))
		if err != nil {
			t.Fatal(err)
		}
		recs, _ := readAll(f, Options{})
		f.Close()
		if len(recs) <= row.index {
			t.Errorf("%s: only %d records", row.file, len(recs))
		} else if recs[row.index] != row.want {
			t.Errorf("%s, record %d:\n%s, want\n%s", row.file, row.index, recs[row.index], row.want)
		}
	}
}
