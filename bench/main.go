// Command bench compares the event bus with the same work written by hand on a buffered channel, and with other Go
// buses.
//
// It runs the two sides of every case in one process and in turn, checks after every round that each handler was
// called for each event, prints its tables, and writes them to RESULTS.md with the machine, the Go version and the
// command. Run it in this directory:
//
//	go run .                                  everything: about seven minutes on two cores
//	go run . -quick                           the same with fewer events: about two minutes, writes nothing
//	go run . -only 'bars/4 publishers'        the parts and cases that match, writes nothing
//	go run . -only 'bars/p' -cpuprofile c.prof
//
// In a profile, `go tool pprof -tagfocus=side=bus` shows the bus alone, and `side=hand` the baseline.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/pprof"
)

// minRounds is the fewest turns whose median the bars may be judged by.
const minRounds = 9

// A config is what the flags say.
type config struct {
	rounds     int
	fraction   int // of the events and samples, one in so many is run
	only       *regexp.Regexp
	out        string
	cpuProfile string
	progress   io.Writer // names what is being measured
}

func main() {
	cfg, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(cfg, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (config, error) {
	cfg := config{progress: os.Stderr, fraction: 1}
	var only string
	var quick bool
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&cfg.rounds, "rounds", 15, fmt.Sprintf("turns of each side, at least %d", minRounds))
	fs.BoolVar(&quick, "quick", false, "fewer events and samples")
	fs.StringVar(&only, "only", "", "run what matches this `regexp`, such as 'bars/pipeline', 'open/bursts', 'memory', 'figures/spin', 'peers' or 'growth/handlers'")
	fs.StringVar(&cfg.out, "out", "RESULTS.md", "write the tables to this `file`, and the plots to plots/ beside it; by default not when -quick or -only is given")
	fs.StringVar(&cfg.cpuProfile, "cpuprofile", "", "write a CPU profile to this `file`")
	if err := fs.Parse(args); err != nil {
		return cfg, err
	}
	if fs.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q: there are flags only", fs.Arg(0))
	}
	if cfg.rounds < minRounds {
		return cfg, fmt.Errorf("-rounds=%d: the median needs at least %d rounds", cfg.rounds, minRounds)
	}
	var err error
	if cfg.only, err = regexp.Compile(only); err != nil {
		return cfg, fmt.Errorf("-only: %w", err)
	}
	if quick {
		cfg.fraction = 5
	}
	if (quick || only != "") && !given(fs, "out") {
		cfg.out = ""
	}
	return cfg, nil
}

func given(fs *flag.FlagSet, name string) (found bool) {
	fs.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// wants reports whether -only selects the named part or case.
func (c config) wants(name string) bool { return c.only.MatchString(name) }

// events scales a number of events or samples down.
func (c config) events(n int) int { return max(n/c.fraction, 1) }

func (c config) plotDir() string {
	if c.out == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(c.out), "plots")
}

// run measures what cfg selects and reports to w and, unless cfg says otherwise, to the results file.
func run(cfg config, w io.Writer) (err error) {
	if cfg.cpuProfile != "" {
		stop, err := startProfile(cfg.cpuProfile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	var results bytes.Buffer
	if err := report(cfg, io.MultiWriter(w, &results)); err != nil {
		return err
	}
	if cfg.out == "" {
		return nil
	}
	return os.WriteFile(cfg.out, results.Bytes(), 0o644)
}

func startProfile(path string) (stop func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
