package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far long work has come: a bar on a terminal, a line every few seconds
// elsewhere. Safe for concurrent use.
type progress struct {
	bar   *progressbar.ProgressBar
	what  string
	total int64 // bytes, -1 when not known

	mu      sync.Mutex
	bytes   int64
	records int64
	shown   time.Time
}

const progressEvery = 5 * time.Second

func newProgress(what string, total int64) *progress {
	p := &progress{what: what, total: total, shown: time.Now()}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(true),
			progressbar.OptionSetWriter(os.Stderr), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(total > 0))
	}
	return p
}

// add notes bytes read and records acknowledged.
func (p *progress) add(bytes, records int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += bytes
	p.records += records
	if p.bar != nil {
		_ = p.bar.Add64(bytes) // a bar that cannot be drawn stops nothing
		return
	}
	if now := time.Now(); now.Sub(p.shown) >= progressEvery {
		p.shown = now
		slog.New(slog.NewTextHandler(os.Stderr, nil)).Info(p.what, "records", p.records, "bytes", p.bytes, "of", p.total)
	}
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// sizeText writes a number of bytes for people.
func sizeText(n int64) string {
	const steps = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(steps)-1 {
		f /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, steps[i])
}

// counted counts the bytes that are read through it.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
