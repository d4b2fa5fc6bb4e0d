package wal

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
)

const killDir = "FIRN_WAL_TEST_KILL_DIR"

// TestKilledProcess kills a process that appends, again and again in the same folder. What it said was
// acknowledged is there afterwards, in order.
func TestKilledProcess(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		appendUntilKilled(t, dir)
		return
	}
	dir, acked := t.TempDir(), -1
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if i, err := strconv.Atoi(lines.Text()); err == nil {
				acked = max(acked, i)
			}
			if n == 200+37*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the process ended by itself")
		}
		next := 0
		l, rec, err := Open(dir, Options{SegmentBytes: 32 << 10}, func(f Frame) error {
			if f.Kind != KindData {
				return nil
			}
			var i int
			if _, err := fmt.Sscanf(string(f.Payload), "%d ", &i); err != nil || i != next {
				return fmt.Errorf("frame %.20q, want number %d", f.Payload, next)
			}
			next++
			return nil
		})
		if err != nil || len(rec.Damage) > 0 {
			t.Fatalf("round %d: %v, %+v", round, err, rec)
		}
		if next <= acked {
			t.Fatalf("round %d: %d was acknowledged, %d frames are there", round, acked, next)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if acked < 1000 {
		t.Fatalf("only %d acknowledged", acked)
	}
}

func appendUntilKilled(t *testing.T, dir string) {
	next := 0
	l, _, err := Open(dir, Options{SegmentBytes: 32 << 10}, func(f Frame) error {
		if f.Kind == KindData {
			next++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var out sync.Mutex
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 100_000 {
				e := &counted{next: &next}
				if err := l.Append(context.Background(), e); err != nil {
					t.Error(err)
					return
				}
				out.Lock()
				fmt.Println(e.i)
				out.Unlock()
			}
		})
	}
	wait.Wait()
}

// counted takes its number in Fill.
type counted struct {
	next *int
	i    int
}

func (e *counted) Size() int { return 600 }

func (e *counted) Fill(dst []byte) []byte {
	e.i = *e.next
	*e.next++
	return fmt.Appendf(dst, "%d %0*d", e.i, e.i%500, 0)
}

func (e *counted) Durable(_, _ Position) {}
