package main

import (
	"reflect"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/stretchr/testify/require"
)

func TestJSONReportHasEveryCountOfAQueue(t *testing.T) {
	stats, reported := reflect.TypeFor[eventbus.QueueStats](), reflect.TypeFor[jsonQueue]()
	for i := range stats.NumField() {
		field := stats.Field(i)
		if field.Type.Kind() != reflect.Int && field.Type.Kind() != reflect.Uint64 || field.Name == "Waiting" { // nobody waits for a bus that has ended
			continue
		}
		_, found := reported.FieldByName(field.Name)
		require.True(t, found, field.Name)
	}
}
