package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlags(t *testing.T) {
	for _, tt := range []struct{ args, out string }{
		{"", "RESULTS.md"},
		{"-rounds 9", "RESULTS.md"},
		{"-quick", ""},
		{"-only peers", ""},
		{"-only peers -out x/y.md", "x/y.md"},
		{"-quick -out y.md", "y.md"},
	} {
		cfg, err := parseFlags(strings.Fields(tt.args))
		require.NoError(t, err, tt.args)
		require.Equal(t, tt.out, cfg.out, tt.args)
	}
}

func TestFlagsThatCannotBeHonouredAreRefused(t *testing.T) {
	for _, tt := range []struct{ args, says string }{
		{"-rounds 8", "at least 9"},
		{"-only (", "-only"},
		{"peers", "unexpected argument"},
	} {
		_, err := parseFlags(strings.Fields(tt.args))
		require.ErrorContains(t, err, tt.says, tt.args)
	}
}
