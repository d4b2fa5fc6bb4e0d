package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/server"
)

func newServe(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Long: "Run the daemon: open the data folder, made when it is not there, and answer HTTP until a signal\n" +
			"ends it. The first SIGINT or SIGTERM finishes what is under way; the second ends it at once.",
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return serve(c.Context(), s) },
	}
	s.addServe(c.Flags())
	return c
}

func serve(ctx context.Context, s *settings) (err error) {
	logger, err := s.logger()
	if err != nil {
		return err
	}
	o, err := s.engineOptions()
	if err != nil {
		return err
	}
	o.Logger = logger
	// Listening comes first, so that a second daemon fails before it looks at the folder, and so
	// that /readyz can say what the start is waiting for.
	ln, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	options := s.serverOptions(logger)
	options.Listen = ln.Addr().String()
	srv, err := server.New(nil, options)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	db, err := engine.Open(ctx, s.data, o)
	if err != nil {
		return errors.Join(err, srv.Shutdown(context.Background()), <-served)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	srv.Attach(db)
	store := s.store
	if store == "" {
		store = s.data + "/store"
	}
	if r := db.Ready(); !r.Ready {
		logger.Warn("started, but cannot accept records", "reasons", r.Reasons)
	}
	fmt.Printf("firn serves http://%s  data %s  store %s\n", ln.Addr(), s.data, store)
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	logger.Info("stopping: finishing what is under way; a second signal ends at once")
	err = srv.Shutdown(context.Background())
	return errors.Join(err, <-served)
}
