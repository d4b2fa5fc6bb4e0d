package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Options says how the HTTP side of a database behaves. The zero value is the daemon's default.
type Options struct {
	// Listen is the address that the caller will listen on, host and port. New does not listen;
	// it takes the host as one that requests may name. Default 127.0.0.1:8787.
	Listen string

	// MaxBodyBytes bounds a request body after its Content-Encoding was undone; longer ones are
	// answered with 413. All requests together hold bodies of at most four times as much, and
	// small ones of up to 64 KiB each besides. Default 64 MiB.
	MaxBodyBytes int

	// MaxRecordBytes bounds one record of an Avro body. The engine enforces the same limit on
	// every record; give the same number to both. Default 8 MiB.
	MaxRecordBytes int

	// Hosts are Host values accepted besides loopback ones, with or without a port: the names
	// that a reverse proxy or other machines call this server by.
	Hosts []string

	// ShutdownGrace bounds how long Shutdown waits for requests under way before it breaks
	// their connections. Default 30 s.
	ShutdownGrace time.Duration

	// Logger gets failures that the operator should know. Default: discards.
	Logger *slog.Logger
}

// DefaultListen is the address of a daemon that was given none.
const DefaultListen = "127.0.0.1:8787"

// Bounds of Options that New checks.
const (
	minBodyBytes = 1 << 10
	maxBodyBytes = 1 << 30
)

func (o Options) withDefaults() Options {
	if o.Listen == "" {
		o.Listen = DefaultListen
	}
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = 64 << 20
	}
	if o.MaxRecordBytes == 0 {
		o.MaxRecordBytes = 8 << 20
	}
	if o.ShutdownGrace == 0 {
		o.ShutdownGrace = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// validate reports every setting that cannot be used, with the value seen and its bounds.
func (o Options) validate() error {
	var errs []error
	between := func(name string, v, lo, hi int64) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("server: option %s is %d, must be between %d and %d", name, v, lo, hi))
		}
	}
	between("MaxBodyBytes", int64(o.MaxBodyBytes), minBodyBytes, maxBodyBytes)
	between("MaxRecordBytes", int64(o.MaxRecordBytes), 64, int64(maxBodyBytes))
	between("ShutdownGrace", int64(o.ShutdownGrace), 0, int64(24*time.Hour))
	if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		errs = append(errs, fmt.Errorf("server: option Listen is %q, must be host:port: %w", o.Listen, err))
	}
	for _, h := range o.Hosts {
		if _, _, ok := splitHost(h); !ok {
			errs = append(errs, fmt.Errorf("server: option Hosts has %q, which is no host or host:port", h))
		}
	}
	return errors.Join(errs...)
}
