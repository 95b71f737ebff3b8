package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTableLinesUp(t *testing.T) {
	var table table
	table.row("case", "ns")
	table.row("data → order", "1234")
	var got strings.Builder
	table.write(&got)
	require.Equal(t, `| case         |   ns |
| ------------ | ---: |
| data → order | 1234 |

`, got.String())
}

func TestTableWithoutRowsIsNotWritten(t *testing.T) {
	var table table
	table.row("case", "ns")
	var got strings.Builder
	table.write(&got)
	require.Empty(t, got.String())
}

func TestFiguresAreReadable(t *testing.T) {
	for want, got := range map[string]string{
		"7.3":        ns(7.25001),
		"12":         ns(12.4),
		"999":        ns(999.4),
		"1,000":      ns(999.6),
		"1,234,568":  ns(1234567.8),
		"1.23":       ms(1_234_000),
		"0.5":        grouped(0.5),
		"10,000":     grouped(10_000),
		"4,970,000":  perSecond(4_971_234),
		"987":        perSecond(987),
		"10,000,000": perSecond(9_999_999),
	} {
		require.Equal(t, want, got)
	}
}
