package eventbus_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sources returns the files of the package that are not tests.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	files := make(map[string]*ast.File)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		files[name] = f
	}
	return files
}

// No clock can be watched for being read, so the functions are looked at that a
// publish with room and a dispatch run through. Each of slow is a way off that
// path, which is taken when something is to be waited for, told or changed.
func TestTheFastPathsReadNoClock(t *testing.T) {
	slow := []string{"refuse", "publishSlow", "admitSlow", "heed", "report", "logCall", "skip", "changed", "describe", "open", "orphanOf"}
	bodies := make(map[string][]*ast.BlockStmt) // by name, of functions and of methods of whatever type
	for _, f := range sources(t) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				bodies[fn.Name.Name] = append(bodies[fn.Name.Name], fn.Body)
			}
		}
	}
	for _, name := range slow {
		require.Contains(t, bodies, name)
	}
	seen := make(map[string]bool)
	var walk func(name string)
	walk = func(name string) {
		if seen[name] || slices.Contains(slow, name) {
			return
		}
		seen[name] = true
		for _, body := range bodies[name] {
			ast.Inspect(body, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					pkg, ok := n.X.(*ast.Ident)
					require.False(t, ok && pkg.Name == "time", "%s uses time.%s", name, n.Sel.Name)
				case *ast.CallExpr:
					switch f := n.Fun.(type) {
					case *ast.Ident:
						walk(f.Name)
					case *ast.SelectorExpr:
						walk(f.Sel.Name)
					}
				}
				return true
			})
		}
	}
	walk("publish")
	walk("run")
	require.Subset(t, slices.Collect(maps.Keys(seen)), []string{"mix", "setHandler", "handlersOf", "serves", "raiseLocked"})
}

// Before an event is stamped with the time, it is known that its queue, or its
// topic, wants to know how old it is.
func TestOnlyAMaximumAgeStampsEvents(t *testing.T) {
	for _, d := range sources(t)["conflate.go"].Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "stamp" {
			continue
		}
		require.Len(t, fn.Body.List, 1)
		branch, ok := fn.Body.List[0].(*ast.IfStmt)
		require.True(t, ok)
		both, ok := branch.Cond.(*ast.BinaryExpr)
		require.True(t, ok && both.Op == token.LAND)
		aged, ok := both.X.(*ast.BinaryExpr)
		require.True(t, ok && aged.Op == token.GTR)
		require.Equal(t, "maxAge", aged.X.(*ast.Ident).Name)
		return
	}
	require.Fail(t, "there is no function stamp")
}

// What has no way to a disk, a network or another process is gone with its own.
func TestEventsStayInMemory(t *testing.T) {
	allowed := []string{
		"cmp", "context", "errors", "fmt", "log/slog", "reflect", "runtime", "runtime/debug", "slices", "strings",
		"sync", "sync/atomic", "text/tabwriter", "time", "github.com/eventbus-go/eventbus/internal/race",
	}
	for name, f := range sources(t) {
		for _, i := range f.Imports {
			require.Contains(t, allowed, strings.Trim(i.Path.Value, `"`), name)
		}
	}
}

// The first code in the README is Example, and so compiles and does what it says.
func TestTheReadmeBeginsWithTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, block, found := strings.Cut(string(readme), "```go\n")
	require.True(t, found)
	block, _, found = strings.Cut(block, "```")
	require.True(t, found)

	example, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, body, found := strings.Cut(string(example), "\nfunc Example() {\n")
	require.True(t, found)
	body, _, found = strings.Cut(body, "\t// Output:")
	require.True(t, found)
	var lines strings.Builder
	for line := range strings.Lines(body) {
		lines.WriteString(strings.TrimPrefix(line, "\t"))
	}
	require.Equal(t, lines.String(), block)
}
