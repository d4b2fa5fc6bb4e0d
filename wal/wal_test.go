package wal

import (
	"context"
	"fmt"
	"testing"
)

type text struct {
	s        string
	pos, end Position
}

func (e *text) Size() int                 { return len(e.s) }
func (e *text) Fill(dst []byte) []byte    { return append(dst, e.s...) }
func (e *text) Durable(pos, end Position) { e.pos, e.end = pos, end }

func TestOpenAppendReopen(t *testing.T) {
	dir := t.TempDir()
	want := 0
	for life := range 4 {
		var got []string
		l, rec, err := Open(dir, Options{SegmentBytes: 8192}, func(f Frame) error { got = append(got, string(f.Payload)); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if len(rec.Cuts)+len(rec.Damage) > 0 || len(got) != want {
			t.Fatalf("life %d: %+v, %d frames, want %d", life, rec, len(got), want)
		}
		for i, s := range got {
			if s[:6] != fmt.Sprintf("%06d", i) {
				t.Fatalf("life %d frame %d is %q", life, i, s)
			}
		}
		for range 100 {
			if err := l.Append(context.Background(), &text{s: fmt.Sprintf("%06d%0*d", want, want%977, 0)}); err != nil {
				t.Fatal(err)
			}
			want++
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
