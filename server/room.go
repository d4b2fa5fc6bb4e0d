package server

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/semaphore"
)

// Bodies are held in memory until the engine has taken them, so what all requests together may
// hold is bounded. Without that, memory would be bounded by the number of connections times the
// largest body, which is no bound that a machine can keep.
const (
	// bodiesRoom is how many of the largest bodies may be held at a time.
	bodiesRoom = 4

	// smallBody needs no room: connections cost about as much.
	smallBody = 64 << 10

	// roomWait is how long a request waits for room before it is told to come again.
	roomWait = 10 * time.Second
)

// room is what one request holds of the memory for bodies.
type room struct {
	of   *semaphore.Weighted
	ctx  context.Context
	held int64
}

// take makes the share at least n bytes. The first share may wait for others to end. A larger
// one may not, because requests that hold a share and wait for more could wait for each other.
func (r *room) take(n int64) error {
	if n <= smallBody || n <= r.held {
		return nil
	}
	if r.held > 0 {
		if !r.of.TryAcquire(n - r.held) {
			return noRoom()
		}
		r.held = n
		return nil
	}
	if !r.of.TryAcquire(n) {
		ctx, cancel := context.WithTimeout(r.ctx, roomWait)
		defer cancel()
		if err := r.of.Acquire(ctx, n); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return noRoom()
			}
			return err
		}
	}
	r.held = n
	return nil
}

func noRoom() error {
	return refuse(codeBackpressure, "too many large bodies are being taken in")
}

// leave gives the share back.
func (r *room) leave() {
	if r.held > 0 {
		r.of.Release(r.held)
	}
	*r = room{}
}
