package server

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	kzlib "github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"
)

// Media types of request bodies.
const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeAvro   = "application/avro"
)

// contentType gives the media type of the body, refusing those that are not among the wanted.
func contentType(ctx *fasthttp.RequestCtx, wanted ...string) (string, error) {
	header := ctx.Request.Header.ContentType()
	kind, rest, _ := strings.Cut(string(header), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	for rest != "" {
		var p string
		p, rest, _ = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(p)), "=")
		if value = strings.Trim(value, `"`); name == "charset" && value != "utf-8" && value != "utf8" {
			return "", refuse(codeMediaType, "charset %q: bodies are UTF-8", clip(value))
		}
	}
	for _, w := range wanted {
		if kind == w {
			return w, nil
		}
	}
	if len(header) == 0 {
		return "", refuse(codeMediaType, "no Content-Type; must be one of: %s", strings.Join(wanted, ", "))
	}
	return "", refuse(codeMediaType, "Content-Type %q; must be one of: %s", clip(header), strings.Join(wanted, ", "))
}

// maxWindow is the memory that a zstd body may ask its decoder for: what RFC 9659 lets a
// Content-Encoding use.
const maxWindow = 8 << 20

// keepBytes is the largest buffer that is kept for the next request. Larger ones are rare, and
// would stay allocated for good.
const keepBytes = 1 << 20

// unpacker reads a body and undoes its Content-Encoding. Its decoders and buffer are reused; it
// belongs to one request at a time.
type unpacker struct {
	wire wire
	src  *bufio.Reader // of wire; decoders that find a byte reader take no byte too many from it
	gz   *gzip.Reader
	zs   *zstd.Decoder
	zl   io.Reader // zlib
	fl   io.Reader // deflate without zlib's frame
	out  []byte
	room room
}

var unpackers = sync.Pool{New: func() any { return &unpacker{src: bufio.NewReaderSize(nil, 32<<10)} }}

// unpack reads the body of a request, at most limit bytes once decoded. It is valid until
// release, which the caller owes in any case.
func (s *Server) unpack(ctx *fasthttp.RequestCtx, limit int) (*unpacker, []byte, error) {
	u := unpackers.Get().(*unpacker)
	u.room = room{of: s.room, ctx: s.base}
	u.wire = wire{length: ctx.Request.Header.ContentLength(), limit: limit}
	u.wire.conn, _ = ctx.Conn().(*conn)
	if u.wire.r = ctx.RequestBodyStream(); u.wire.r == nil {
		u.wire.r = bytes.NewReader(ctx.Request.Body()) // no server around the handler
	}
	body, err := u.read(ctx, limit)
	return u, body, err
}

func (u *unpacker) release() {
	u.room.leave()
	u.wire = wire{}
	u.src.Reset(nil)
	if u.zs != nil {
		_ = u.zs.Reset(nil) // lets go of what it read; nil is always accepted
	}
	if cap(u.out) > keepBytes {
		u.out = nil
	}
	unpackers.Put(u)
}

func (u *unpacker) read(ctx *fasthttp.RequestCtx, limit int) ([]byte, error) {
	if u.wire.length > limit {
		return nil, refuse(codeTooLarge, "the body is larger than %d bytes", limit)
	}
	encodings := ctx.Request.Header.PeekAll(fasthttp.HeaderContentEncoding)
	name := strings.ToLower(string(bytes.Join(encodings, []byte(","))))
	packed := name != "" && name != "identity"
	var r io.Reader = &u.wire
	var err error
	hint := max(u.wire.length, 0)
	if packed {
		u.src.Reset(&u.wire)
		r, err = u.decoder(name)
		hint *= 8 // a guess, which costs nothing when it is wrong
	}
	if err == nil {
		err = u.readAll(r, hint, limit)
	}
	if err == nil && packed {
		if _, more := u.src.ReadByte(); more == nil {
			err = errors.New("bytes follow its end")
		}
	}
	var p *problem
	switch {
	case errors.As(err, &p):
		return nil, p
	case errors.Is(u.wire.err, errLimit) || !packed && errors.Is(err, errLimit):
		return nil, refuse(codeTooLarge, "the body is larger than %d bytes", limit)
	case u.wire.err != nil:
		var ne net.Error
		if errors.As(u.wire.err, &ne) && ne.Timeout() {
			return nil, refuse(codeTimeout, "the body did not arrive in time")
		}
		return nil, refuse(codeBadRequest, "the body did not arrive whole: %s", u.wire.err)
	case errors.Is(err, errLimit):
		return nil, refuse(codeTooLarge, "the decompressed body is larger than %d bytes", limit)
	case err != nil:
		return nil, refuse(codeInvalidBody, "the body is not whole %s data: %s", name, err)
	}
	return u.out, nil
}

// decoder begins to decode what src gives.
func (u *unpacker) decoder(name string) (r io.Reader, err error) {
	switch name {
	case "gzip", "x-gzip":
		if u.gz == nil {
			u.gz = new(gzip.Reader)
		}
		return u.gz, u.gz.Reset(u.src)
	case "zstd":
		if u.zs == nil {
			u.zs, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, err
			}
		}
		return u.zs, u.zs.Reset(u.src)
	case "deflate":
		// The name means zlib's frame around deflate, but some clients send deflate alone.
		if begin, _ := u.src.Peek(2); !zlibFrame(begin) {
			if u.fl == nil {
				u.fl = flate.NewReader(u.src)
				return u.fl, nil
			}
			return u.fl, u.fl.(flate.Resetter).Reset(u.src, nil)
		}
		if u.zl == nil {
			u.zl, err = kzlib.NewReader(u.src)
			return u.zl, err
		}
		return u.zl, u.zl.(zlib.Resetter).Reset(u.src, nil)
	}
	return nil, refuse(codeMediaType, "Content-Encoding %q; must be gzip, zstd or deflate", clip(name))
}

// zlibFrame says whether raw begins as zlib's frame does: method 8, and a check over two bytes.
// Deflate alone would need an odd first block to look like that.
func zlibFrame(raw []byte) bool {
	return len(raw) >= 2 && raw[0]&0x0f == 8 && (uint(raw[0])<<8|uint(raw[1]))%31 == 0
}

// errLimit ends the reading of a body that passed its limit.
var errLimit = errors.New("limit reached")

// readAll reads r into out. The buffer begins with what hint says, within limit, then grows by
// what arrives; room is taken for what is used of it.
func (u *unpacker) readAll(r io.Reader, hint, limit int) error {
	u.out = u.out[:0]
	end := max(min(hint, limit)+1, 4<<10)
	for {
		if err := u.room.take(int64(end)); err != nil {
			return err
		}
		if end > cap(u.out) {
			grown := make([]byte, len(u.out), end)
			copy(grown, u.out)
			u.out = grown
		}
		for len(u.out) < end {
			n, err := r.Read(u.out[len(u.out):end])
			u.out = u.out[:len(u.out)+n]
			if len(u.out) > limit {
				return errLimit
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
		end = min(2*end, max(limit+1, 4<<10))
	}
}

// wire reads a body as it was sent. It notices one that ends early, which would otherwise look
// like a shorter body, and one that goes on past the limit.
type wire struct {
	r      io.Reader
	conn   *conn // nil when the connection is not one of a Server
	length int   // what the header says; negative when it says nothing
	limit  int
	n      int
	err    error // why the body is not whole
}

func (w *wire) Read(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.r.Read(p)
	w.n += n
	switch {
	case w.n > w.limit:
		w.err = errLimit
	case err == io.EOF && (w.n < w.length || w.length < 0 && w.conn != nil && w.conn.ended.Load()):
		// fasthttp takes the end of the connection for the last chunk when it comes where a
		// chunk may begin. Behind a real last chunk nobody has looked for more.
		w.err = io.ErrUnexpectedEOF
	case err != nil && err != io.EOF:
		w.err = err
	}
	if w.err != nil {
		return n, w.err
	}
	return n, err
}
