// Command firn keeps JSON records hot and archives them into plain Avro files.
//
// One file a subcommand; what they do is in packages server and engine. Settings come from flags,
// FIRN_* variables and a config file, in that order (settings.go). Commands that ask something
// speak HTTP: to a daemon, or to a server inside their own process over the data folder
// (client.go), so there is one way only.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, the same for every command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the next one has its usual effect: it ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:]))
}

// usageError is a command line that cannot be carried out as it stands.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run carries out a command line and says how the process should exit.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "firn: %v\nrun firn --help for how it is used\n", err)
		return exitUsage
	}
	fmt.Fprintf(os.Stderr, "firn: %v\n", err)
	return exitFailed
}

func newRoot() *cobra.Command {
	s := newSettings()
	root := &cobra.Command{
		Use:   "firn",
		Short: "Keeps JSON records: on disk when acknowledged, readable at once, archived to Avro",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q", args[0])
			}
			return nil
		},
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	s.addGlobal(root.PersistentFlags())
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return s.resolve(c.Flags()) }
	root.AddCommand(
		newServe(s), newIngest(s), newImport(s), newRead(s), newExplain(s), newArchive(s), newStats(s), newTables(s), newDoctor(s), newVersion(s),
	)
	return root
}

// exactly is the number of arguments a command takes, told as wrong use.
func exactly(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s takes %d arguments, not %d", c.CommandPath(), n, len(args))
		}
		return nil
	}
}
