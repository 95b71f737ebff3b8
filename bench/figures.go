package main

import (
	"fmt"
	"io"
)

// reportFigures measures what single features cost and bring, as cfg wants.
func reportFigures(cfg config, w io.Writer) error {
	first := true
	for _, figure := range []struct {
		name   string
		report func(config, io.Writer) error
	}{
		{"stepping", reportStepping},
		{"spin", reportSpin},
		{"batch", reportBatch},
		{"beside", reportBeside},
		{"full", reportFull},
		{"subscribing", reportSubscribing},
	} {
		if !cfg.wants("figures/" + figure.name) {
			continue
		}
		if first {
			fmt.Fprint(w, figuresText)
			first = false
		}
		if err := figure.report(cfg, w); err != nil {
			return err
		}
	}
	return nil
}

const figuresText = `## Figures of single features

Measured in turns as above, medians of the rounds, with the defaults but for what is named. After every round the accounts of
the bus must balance and every event must have reached its handlers.

`
