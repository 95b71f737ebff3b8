package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// notes is written by hand and survives each new run: what keeps a case from the figure to reach for.
//
//go:embed notes.md
var notes string

// report measures and writes everything that cfg wants.
func report(cfg config, w io.Writer) error {
	start := time.Now()
	fmt.Fprint(w, "# Benchmark results\n\n")
	writeMachine(w, cfg, os.Args[1:])
	for _, section := range []func(config, io.Writer) error{
		reportBars, reportOpen, reportNotes, reportMemory, reportFigures, reportPeers, reportGrowth,
	} {
		if err := section(cfg, w); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "The run took %v.\n", time.Since(start).Round(time.Second))
	return nil
}

func reportNotes(_ config, w io.Writer) error {
	if text := strings.TrimSpace(notes); text != "" {
		fmt.Fprintf(w, "## What stands in the way\n\n%s\n\n", text)
	}
	return nil
}
