package eventbus_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// These tests read the source and hold the walls of the house: docs/design.md says
// what each room knows nothing of.

const module = "github.com/eventbus-go/eventbus"

// parse returns the syntax of the files that pattern matches, by name.
func parse(t *testing.T, pattern string) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob(pattern)
	require.NoError(t, err)
	files := make(map[string]*ast.File)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files[name] = f
	}
	require.NotEmpty(t, files, "no file is called %s", pattern)
	return files
}

// named returns what f names of words, each where it is: the function or the type.
func named(f *ast.File, words []string) (found []string) {
	for _, decl := range f.Decls {
		where := declared(decl)
		ast.Inspect(decl, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && slices.Contains(words, id.Name) {
				found = append(found, where+" names "+id.Name)
			}
			return true
		})
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// declared returns the name of what decl declares first.
func declared(decl ast.Decl) string {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		return d.Name.Name
	case *ast.GenDecl:
		switch s := d.Specs[0].(type) {
		case *ast.TypeSpec:
			return s.Name.Name
		case *ast.ValueSpec:
			return s.Names[0].Name
		}
	}
	return "import"
}

// No room names what it knows nothing of.
func TestBusRoomsKeepToTheirWalls(t *testing.T) {
	processor := []string{"processor", "proc", "processorEnv"}
	handlers := []string{"Subscription", "handlerList", "handlerContext", "asyncCall"}
	lifeCycle := []string{"session", "shutdown", "life"}
	law := []string{"decide", "verdict", "publication", "judgeLocked", "carryOut", "carryOutLocked", "standing"}
	session := []string{"holders", "unhook", "releaseLocked", "newSession", "stepSession", "shutdown", "stopLocked"}
	for _, room := range []struct {
		files  string
		knows  string
		not    []string
		breaks []string // where it is broken today: mend these, and take them out
	}{
		{files: "queue_overflow.go", knows: "processors, handlers, the life cycle", not: slices.Concat(processor, handlers, lifeCycle)},
		{files: "queue_admission.go", knows: "handlers, the life cycle", not: slices.Concat(handlers, lifeCycle)},
		{files: "queue_deadlock.go", knows: "buffers", not: []string{"buffer", "Buffer", "entries"}},
		{files: "processor*.go", knows: "the law, the life cycle", not: slices.Concat(law, session)},
		{files: "handler*.go", knows: "queues", not: []string{"buffer", "Buffer", "admission", "admissionMu"}},
		{files: "bus*.go", knows: "chunks", not: []string{"Chunk", "Door", "Take"}},
	} {
		t.Run(room.files, func(t *testing.T) {
			var found []string
			for _, f := range parse(t, room.files) {
				found = append(found, named(f, room.not)...)
			}
			slices.Sort(found)
			require.Equal(t, strings.Join(room.breaks, "\n"), strings.Join(found, "\n"), "it knows nothing of %s", room.knows)
		})
	}
}

// The buffer stands on its own: of the module it imports the order of locks alone.
func TestBusBufferImportsNothingOfTheModuleButLockrank(t *testing.T) {
	for name, f := range parse(t, "internal/buffer/*.go") {
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			if strings.HasPrefix(path, module) {
				require.Equal(t, module+"/internal/lockrank", path, name)
			}
		}
	}
}

// fieldsOf returns how many fields s has, those of structs without a name in it
// included.
func fieldsOf(s *ast.StructType) (n int) {
	for _, f := range s.Fields.List {
		n += max(1, len(f.Names))
		if inner, ok := f.Type.(*ast.StructType); ok {
			n += fieldsOf(inner)
		}
	}
	return n
}

// A type that grows beyond 30 fields is several types.
func TestBusStructsHaveAtMost30Fields(t *testing.T) {
	const most = 30
	check := func(path string) {
		for name, f := range parse(t, filepath.Join(path, "*.go")) {
			ast.Inspect(f, func(n ast.Node) bool {
				if spec, ok := n.(*ast.TypeSpec); ok {
					if s, ok := spec.Type.(*ast.StructType); ok && fieldsOf(s) > most {
						t.Errorf("%s: %s has %d fields, want %d at most", name, spec.Name.Name, fieldsOf(s), most)
					}
				}
				return true
			})
		}
	}
	check(".")
	require.NoError(t, filepath.WalkDir("internal", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "internal" && len(globbed(t, filepath.Join(path, "*.go"))) > 0 {
			check(path)
		}
		return err
	}))
}

func globbed(t *testing.T, pattern string) []string {
	names, err := filepath.Glob(pattern)
	require.NoError(t, err)
	return names
}

// The root stays small enough to be read in one sitting.
func TestBusRootHasFewFiles(t *testing.T) {
	const mostSources, mostTests = 30, 45
	all, tests := globbed(t, "*.go"), globbed(t, "*_test.go")
	require.LessOrEqual(t, len(all)-len(tests), mostSources, "source files")
	require.LessOrEqual(t, len(tests), mostTests, fmt.Sprint("test files: ", tests))
}
