package eventbus_test

import (
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests of a section of doc.go stand in one or two files, in the order of its
// bullets.
func TestBusHasATestForEachGuarantee(t *testing.T) {
	type place struct {
		file string
		at   token.Pos
	}
	files := testFiles(t)
	find := func(bullet string) (found []place) {
		for name, f := range files {
			for _, d := range f.Decls {
				if test, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(test.Name.Name, "Test") && strings.HasPrefix(plain(test.Doc.Text()), bullet) {
					found = append(found, place{name, test.Pos()})
				}
			}
		}
		return found
	}
	sections := guarantees(t)
	require.NotEmpty(t, sections)
	for section, bullets := range sections {
		var order []place
		for _, bullet := range bullets {
			found := find(bullet)
			if !assert.Len(t, found, 1, "tests for %q of %q", bullet, section) {
				continue
			}
			order = append(order, found[0])
		}
		names := make(map[string]bool)
		for i, p := range order {
			names[p.file] = true
			if i > 0 && order[i-1].file == p.file {
				assert.Less(t, order[i-1].at, p.at, "%s: the test for %q stands before that for the bullet above it", p.file, bullets[i])
			}
		}
		assert.LessOrEqual(t, len(names), 2, "files of %q", section)
	}
}

// So -run TestShutdown runs what is promised of Shutdown.
func TestBusNamesItsTestsAfterWhatTheyPromise(t *testing.T) {
	public := exported(t)
	for file, f := range testFiles(t) {
		for _, d := range f.Decls {
			test, ok := d.(*ast.FuncDecl)
			if !ok || test.Recv != nil || !strings.HasPrefix(test.Name.Name, "Test") || test.Name.Name == "TestMain" {
				continue
			}
			name := strings.TrimPrefix(test.Name.Name, "Test")
			known := false
			for i := 1; i <= len(name); i++ {
				known = known || public[name[:i]] && (i == len(name) || unicode.IsUpper(rune(name[i])))
			}
			assert.True(t, known, "%s: %s does not begin with the name of anything that the package exports", file, test.Name.Name)
		}
	}
}

// The examples publish all that happens to an order on the order queue.
func TestOrderQueueCarriesTheOrdersOfTheExamples(t *testing.T) {
	seen := 0
	for _, pattern := range []string{"example_*_test.go", "examples/*/*.go"} {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range names {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			require.NoError(t, err)
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if text := argumentsOf(call); regexp.MustCompile(`\bOrder\w+ed\b|\bOrderUpdate\b`).MatchString(text) {
					queues := regexp.MustCompile(`\b(Data|Signal|Order)Queue\b`).FindAllString(text, -1)
					for _, q := range queues {
						require.Equal(t, "OrderQueue", q, "%s: %s", name, text)
					}
					seen += len(queues)
				}
				return true
			})
		}
	}
	require.Greater(t, seen, 5)
}

// guarantees returns the sections of doc.go with the first sentences of their bullets.
func guarantees(t *testing.T) map[string][]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.PackageClauseOnly|parser.ParseComments)
	require.NoError(t, err)
	bullets := make(map[string][]string)
	section := ""
	for _, block := range new(comment.Parser).Parse(f.Doc.Text()).Content {
		switch block := block.(type) {
		case *comment.Heading:
			section = textOf(block.Text)
		case *comment.List:
			for _, item := range block.Items {
				text := plain(textOf(item.Content[0].(*comment.Paragraph).Text))
				sentence := regexp.MustCompile(`^.*?\.( |$)`).FindString(text)
				bullets[section] = append(bullets[section], strings.TrimSpace(sentence))
			}
		}
	}
	delete(bullets, "What is not guaranteed")
	return bullets
}

// plain returns text on one line, without the brackets of links.
func plain(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return regexp.MustCompile(`\[([\w.]+)\]`).ReplaceAllString(text, "$1")
}

// textOf returns text as it would read without links.
func textOf(text []comment.Text) string {
	var b strings.Builder
	for _, t := range text {
		switch t := t.(type) {
		case comment.Plain:
			b.WriteString(string(t))
		case comment.Italic:
			b.WriteString(string(t))
		case *comment.Link:
			b.WriteString(textOf(t.Text))
		case *comment.DocLink:
			b.WriteString(textOf(t.Text))
		}
	}
	return b.String()
}

// testFiles parses the test files that test the package from outside.
func testFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	files := make(map[string]*ast.File)
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		if f.Name.Name == "eventbus_test" {
			files[name] = f
		}
	}
	return files
}

// exported returns the names of the package's exported functions, types, methods,
// fields, constants and variables.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	public := make(map[string]bool)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.FileExports(f)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				public[n.Name.Name] = true
				return false
			case *ast.TypeSpec:
				public[n.Name.Name] = true
			case *ast.ValueSpec:
				for _, name := range n.Names {
					public[name.Name] = true
				}
			case *ast.Field:
				for _, name := range n.Names {
					public[name.Name] = true
				}
			}
			return true
		})
	}
	return public
}

// argumentsOf returns the names from other packages among the arguments of call.
func argumentsOf(call *ast.CallExpr) string {
	var names []string
	for _, arg := range call.Args {
		if _, ok := arg.(*ast.FuncLit); ok {
			continue
		}
		ast.Inspect(arg, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				names = append(names, s.Sel.Name)
			}
			return true
		})
	}
	return strings.Join(names, " ")
}

// A test that the docs name is there, in one of the modules.
func TestBusDocsNameTestsThatExist(t *testing.T) {
	there := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	require.NoError(t, filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, name := range declared.FindAllSubmatch(source, -1) {
			there[string(name[1])] = true
		}
		return err
	}))
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	named := regexp.MustCompile("`(Test\\w+)`")
	for _, page := range append(pages, "README.md", "CONTRIBUTING.md", "model/README.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, name := range named.FindAllSubmatch(text, -1) {
			assert.True(t, there[string(name[1])], "%s names %s", page, name[1])
		}
	}
}
