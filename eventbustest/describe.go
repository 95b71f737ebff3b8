package eventbustest

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/eventbus-go/eventbus"
)

// describe returns e on one line.
func describe(e eventbus.Event) string {
	return strings.TrimRight(fmt.Sprintf("%s  %s  %s", e.Type, clip(describePayload(e.Data)), describeSource(e)), " ")
}

func describeSource(e eventbus.Event) string {
	if e.Source == "" {
		return ""
	}
	return fmt.Sprintf("(from %s)", e.Source)
}

// describePayload returns v on one line, with its type: a payload that is a
// pointer where a value was expected is a common mistake.
func describePayload(v any) string {
	if v == nil {
		return "nil"
	}
	var b strings.Builder
	writeValue(&b, reflect.ValueOf(v), 0)
	return fmt.Sprintf("%T %s", v, oneLine(b.String()))
}

func oneLine(s string) string {
	return strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s)
}

// clip shortens the description of a payload that is not to be compared.
func clip(s string) string {
	const limit = 200
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "..."
	}
	return s
}

// maxDepth ends what leads back to itself.
const maxDepth = 10

// writeValue writes v as %+v does, but quotes strings and follows pointers at
// every depth, where %+v prints addresses that tell nothing and always differ.
func writeValue(b *strings.Builder, v reflect.Value, depth int) {
	switch {
	case depth > maxDepth:
		b.WriteString("...")
	case speaksForItself(v):
		fmt.Fprintf(b, "%v", v.Interface())
	default:
		writeParts(b, v, depth+1)
	}
}

func writeParts(b *strings.Builder, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.String:
		fmt.Fprintf(b, "%q", v.String())
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			b.WriteString("nil")
			return
		}
		if v.Kind() == reflect.Pointer {
			b.WriteByte('&')
		}
		writeValue(b, v.Elem(), depth)
	case reflect.Struct:
		writeList(b, "{}", v.NumField(), func(i int) {
			b.WriteString(v.Type().Field(i).Name + ":")
			writeValue(b, v.Field(i), depth)
		})
	case reflect.Slice, reflect.Array:
		writeList(b, "[]", v.Len(), func(i int) { writeValue(b, v.Index(i), depth) })
	case reflect.Map:
		writeMap(b, v, depth)
	case reflect.Func, reflect.Chan:
		fmt.Fprintf(b, "%v", v.Type())
	default:
		fmt.Fprintf(b, "%v", v)
	}
}

func writeMap(b *strings.Builder, v reflect.Value, depth int) {
	type pair struct{ key, value string }
	var pairs []pair
	for it := v.MapRange(); it.Next(); {
		var k, e strings.Builder
		writeValue(&k, it.Key(), depth)
		writeValue(&e, it.Value(), depth)
		pairs = append(pairs, pair{k.String(), e.String()})
	}
	slices.SortFunc(pairs, func(x, y pair) int { return cmp.Compare(x.key, y.key) })
	writeList(b, "[]", len(pairs), func(i int) { b.WriteString(pairs[i].key + ":" + pairs[i].value) })
}

func writeList(b *strings.Builder, brackets string, n int, item func(i int)) {
	b.WriteByte(brackets[0])
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		item(i)
	}
	b.WriteByte(brackets[1])
}

// speaksForItself reports whether v's type says how it is printed. A struct that
// has the method from a field it embeds, often a time, does not: the method
// knows nothing of the other fields.
func speaksForItself(v reflect.Value) bool {
	if !v.CanInterface() || v.Kind() == reflect.Pointer && v.IsNil() || !speaks(v.Type()) {
		return false
	}
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return true
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && (speaks(f.Type) || speaks(reflect.PointerTo(f.Type))) {
			return false
		}
	}
	return true
}

func speaks(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[fmt.Formatter]()) || t.Implements(reflect.TypeFor[fmt.Stringer]()) || t.Implements(reflect.TypeFor[error]())
}

func count(n int, of string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s", of)
	}
	return fmt.Sprintf("%d %ss", n, of)
}

func list(types []eventbus.EventType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}
