package server

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
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

// unpacker undoes the Content-Encoding of a body. Its decoders and buffer are reused; it belongs
// to one request at a time.
type unpacker struct {
	src bytes.Reader
	gz  *gzip.Reader
	zs  *zstd.Decoder
	zl  io.Reader // zlib
	fl  io.Reader // deflate without zlib's frame
	out []byte
}

var unpackers = sync.Pool{New: func() any { return new(unpacker) }}

func (u *unpacker) release() {
	u.src.Reset(nil)
	if u.zs != nil {
		_ = u.zs.Reset(nil) // lets go of what it read; nil is always accepted
	}
	if cap(u.out) > keepBytes {
		u.out = nil
	}
	unpackers.Put(u)
}

// body gives the decoded body of the request, at most limit bytes. It is valid until release.
func (u *unpacker) body(ctx *fasthttp.RequestCtx, limit int) ([]byte, error) {
	raw := ctx.Request.Body()
	encodings := ctx.Request.Header.PeekAll(fasthttp.HeaderContentEncoding)
	if len(encodings) == 0 {
		return raw, nil
	}
	name := strings.ToLower(string(bytes.Join(encodings, []byte(","))))
	if name == "" || name == "identity" {
		return raw, nil
	}
	u.src.Reset(raw)
	r, err := u.decoder(name, raw)
	if err == nil {
		u.out, err = readAll(r, u.out[:0], len(raw), limit)
	}
	if err == nil && u.src.Len() > 0 {
		err = errors.New("bytes follow its end")
	}
	var p *problem
	switch {
	case errors.As(err, &p):
		return nil, p
	case errors.Is(err, errLimit):
		return nil, refuse(codeTooLarge, "the decompressed body is larger than %d bytes", limit)
	case err != nil:
		return nil, refuse(codeInvalidBody, "the body is not whole %s data: %s", name, err)
	}
	return u.out, nil
}

func (u *unpacker) decoder(name string, raw []byte) (r io.Reader, err error) {
	switch name {
	case "gzip", "x-gzip":
		if u.gz == nil {
			u.gz = new(gzip.Reader)
		}
		return u.gz, u.gz.Reset(&u.src)
	case "zstd":
		if u.zs == nil {
			u.zs, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, err
			}
		}
		return u.zs, u.zs.Reset(&u.src)
	case "deflate":
		// The name means zlib's frame around deflate, but some clients send deflate alone.
		if !zlibFrame(raw) {
			if u.fl == nil {
				u.fl = flate.NewReader(&u.src)
				return u.fl, nil
			}
			return u.fl, u.fl.(flate.Resetter).Reset(&u.src, nil)
		}
		if u.zl == nil {
			u.zl, err = kzlib.NewReader(&u.src)
			return u.zl, err
		}
		return u.zl, u.zl.(zlib.Resetter).Reset(&u.src, nil)
	}
	return nil, refuse(codeMediaType, "Content-Encoding %q; must be gzip, zstd or deflate", clip(name))
}

// zlibFrame says whether raw begins as zlib's frame does: method 8, and a check over two bytes.
// Deflate alone would need an odd first block to look like that.
func zlibFrame(raw []byte) bool {
	return len(raw) >= 2 && raw[0]&0x0f == 8 && (uint(raw[0])<<8|uint(raw[1]))%31 == 0
}

// errLimit ends a decompression that passed its limit.
var errLimit = errors.New("limit reached")

// readAll appends all of r to dst. The buffer grows by what arrives, never by what a header
// promises, and ends one byte past limit.
func readAll(r io.Reader, dst []byte, packed, limit int) ([]byte, error) {
	if want := min(4*packed+512, limit+1); cap(dst) < want {
		dst = make([]byte, 0, want)
	}
	for {
		if len(dst) == cap(dst) {
			grown := make([]byte, len(dst), min(2*cap(dst)+512, limit+1))
			copy(grown, dst)
			dst = grown
		}
		n, err := r.Read(dst[len(dst):min(cap(dst), limit+1)])
		dst = dst[:len(dst)+n]
		if len(dst) > limit {
			return dst, errLimit
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}
