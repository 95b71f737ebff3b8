package eventbustest

import (
	"fmt"
	"reflect"
	"strings"
)

// maxDifferences bounds how many places are named in which payloads differ.
const maxDifferences = 5

// whereDifferent names the parts, such as Order.Quantity, in which two payloads
// of one type differ; "" if they are not of one type or have no parts.
func whereDifferent(a, b any) string {
	if a == nil || b == nil || reflect.TypeOf(a) != reflect.TypeOf(b) {
		return ""
	}
	var d differences
	d.compare("", reflect.ValueOf(a), reflect.ValueOf(b), 0)
	if len(d.paths) == 0 {
		return ""
	}
	msg := "differs in " + strings.Join(d.paths, ", ")
	if d.more > 0 {
		msg += fmt.Sprintf(" and %d more", d.more)
	}
	return msg
}

// A differences collects the paths at which two values differ.
type differences struct {
	paths []string
	more  int // those beyond maxDifferences
}

func (d *differences) add(path string) {
	switch {
	case path == "": // the whole payload
	case len(d.paths) == maxDifferences:
		d.more++
	default:
		d.paths = append(d.paths, strings.TrimPrefix(path, "."))
	}
}

// compare goes down for as long as a and b have the same parts. What is printed
// as a whole is compared as a whole.
func (d *differences) compare(path string, a, b reflect.Value, depth int) {
	switch {
	case depth > maxDepth:
	case a.Type() != b.Type():
		d.add(path)
	case speaksForItself(a) && speaksForItself(b):
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			d.add(path)
		}
	default:
		d.compareParts(path, a, b, depth+1)
	}
}

func (d *differences) compareParts(path string, a, b reflect.Value, depth int) {
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !a.IsNil() && !b.IsNil() {
			d.compare(path, a.Elem(), b.Elem(), depth)
			return
		}
	case reflect.Struct:
		for i := range a.NumField() {
			d.compare(path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i), depth)
		}
		return
	case reflect.Slice, reflect.Array:
		if a.Len() == b.Len() {
			for i := range a.Len() {
				d.compare(fmt.Sprintf("%s[%d]", path, i), a.Index(i), b.Index(i), depth)
			}
			return
		}
	}
	var x, y strings.Builder
	writeParts(&x, a, depth)
	writeParts(&y, b, depth)
	if x.String() != y.String() {
		d.add(path)
	}
}
