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
