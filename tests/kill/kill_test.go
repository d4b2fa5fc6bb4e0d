package kill

import (
	"flag"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seedFlag = flag.Uint64("seed", 0, "seed of the random choices; 0: one of the clock")
	kills    = flag.Int("kills", 16, "how often the process is killed")
)

// small are settings under which everything that moves records happens all the time.
var small = []string{
	"--memory", "64KiB", "--generation-size", "1MiB", "--block-size", "4KiB", "--file-size", "256KiB", "--memory-age", "1s",
	"--segment-size", "256KiB", "--cache-raw", "1MiB", "--log-level", "warn",
}

func newRand(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// load is what clients do to a process until it is gone.
type load struct {
	o                      *oracle
	p                      *process
	wg                     sync.WaitGroup
	stopping               atomic.Bool // the process was asked to end: 503 is no surprise
	acked, archived, reads atomic.Int64
}

const clients = 4

func (o *oracle) load(t *testing.T, p *process, r *rand.Rand) *load {
	l := &load{o: o, p: p}
	for range clients {
		r := rand.New(rand.NewPCG(r.Uint64(), 2))
		l.wg.Go(func() {
			for {
				b := o.generate(r)
				switch o.send(t, p, b) {
				case 0:
					return
				case http.StatusOK:
					l.acked.Add(1)
				case http.StatusInsufficientStorage:
					t.Error("there is room on the disk")
				}
			}
		})
	}
	l.wg.Go(func() {
		for {
			status, answer, err := p.do("POST", "/v1/archive", nil, nil)
			if err != nil {
				return
			}
			if status != http.StatusOK && !(status == http.StatusServiceUnavailable && l.stopping.Load()) {
				t.Errorf("archive: %d %s", status, answer)
			}
			l.archived.Add(1)
		}
	})
	q := rand.New(rand.NewPCG(r.Uint64(), 3))
	l.wg.Go(func() {
		for l.read(t, q) {
			l.reads.Add(1)
		}
	})
	return l
}

// read reads a dataset while everything moves. What was acknowledged before it began is there once.
func (l *load) read(t *testing.T, r *rand.Rand) bool {
	s := series{tables[r.IntN(len(tables))], datasets[r.IntN(len(datasets))]}
	l.o.mu.Lock()
	before := l.o.kept[s]
	l.o.mu.Unlock()
	status, answer, err := l.p.do("GET", readPath(s.table, s.dataset), nil, nil)
	if err != nil {
		return false
	}
	if status != http.StatusOK {
		if !l.stopping.Load() {
			t.Errorf("read: %d %s", status, answer)
		}
		return true
	}
	lines := split(answer)
	l.o.look(t, "under load", s, lines)
	if len(lines) < before {
		t.Errorf("under load: %v has %d records, %d were acknowledged before", s, len(lines), before)
	}
	return true
}

// TestKill kills the process at random instants, under load and while it starts. Everything it ever
// acknowledged is there afterwards, once; what it did not acknowledge is there whole or not at all.
func TestKill(t *testing.T) {
	r := newRand(t)
	dir := t.TempDir()
	o := newOracle()
	total := new(load)
	inStart := 0
	for cycle := range *kills {
		if cycle%4 == 3 { // while it starts
			p, _ := launch(t, dir, small...)
			time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
			p.kill()
			inStart++
			continue
		}
		p := start(t, dir, small...)
		o.check(t, "after a kill", p)
		for _, b := range o.keptKeyed(r, 10) {
			o.repeat(t, "after a kill", p, b)
		}
		if t.Failed() {
			t.Fatalf("cycle %d\n%s", cycle, p.errors.text())
		}
		l := o.load(t, p, r)
		time.Sleep(time.Duration(20+r.IntN(2000)) * time.Millisecond)
		p.kill()
		l.wg.Wait()
		total.acked.Add(l.acked.Load())
		total.archived.Add(l.archived.Load())
		total.reads.Add(l.reads.Load())
		if t.Failed() {
			t.Fatalf("cycle %d\n%s", cycle, p.errors.text())
		}
	}
	p := start(t, dir, small...)
	o.check(t, "after the last kill", p)
	p.want(t, 200, "POST", "/v1/archive", "", "")
	o.check(t, "after the last archive", p)
	if len(o.batches) < 100 || o.counted() < 1000 {
		t.Errorf("%d batches and %d records are no load", len(o.batches), o.counted())
	}
	t.Logf("%d kills, %d of them at start; %d batches, %d records kept; %d batches of unknown outcome, %d of them kept; %d archive calls, %d reads under load",
		*kills, inStart, len(o.batches), o.counted(), o.settled, o.found, total.archived.Load(), total.reads.Load())
	if code := p.terminate(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.errors.text())
	}
}

// TestTerminate asks the process to end under load. It finishes what is under way and ends cleanly.
func TestTerminate(t *testing.T) {
	r := newRand(t)
	dir := t.TempDir()
	o := newOracle()
	for range 4 {
		p := start(t, dir, small...)
		o.check(t, "after a stop", p)
		l := o.load(t, p, r)
		time.Sleep(time.Duration(20+r.IntN(700)) * time.Millisecond)
		l.stopping.Store(true)
		if code := p.terminate(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		l.wg.Wait()
		if t.Failed() {
			t.Fatal(p.errors.text())
		}
	}
	p := start(t, dir, small...)
	o.check(t, "at the end", p)
	if o.found > 0 {
		t.Errorf("%d batches were kept and not answered", o.found)
	}
	t.Logf("%d batches, %d records kept; %d batches of unknown outcome", len(o.batches), o.counted(), o.settled)
}
