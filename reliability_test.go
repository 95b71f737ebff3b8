package eventbus_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The page on reliability names the test that holds each promise. A test that
// is renamed or removed takes its promise with it.
func TestTheTestsThatThePageOnReliabilityNamesExist(t *testing.T) {
	page, err := os.ReadFile("docs/reliability.md")
	require.NoError(t, err)
	require.LessOrEqual(t, strings.Count(string(page), "\n"), 150, "lines")
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var source strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		source.Write(text)
	}
	names := regexp.MustCompile(`\b(Test|Fuzz|Example)[A-Z]\w+`).FindAllString(string(page), -1)
	require.NotEmpty(t, names)
	for _, name := range names {
		require.Contains(t, source.String(), "\nfunc "+name+"(")
	}
}
