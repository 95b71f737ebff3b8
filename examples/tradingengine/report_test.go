package main

import (
	"reflect"
	"testing"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"
)

func TestNumbersAreGroupedAndRounded(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0.00", "1.005": "1.01", "-1.005": "-1.01", "999.999": "1,000.00", "1234567.5": "1,234,567.50", "-123456": "-123,456.00", "-123": "-123.00",
	} {
		require.Equal(t, want, money(decimal.MustParse(in)))
	}
	require.Equal(t, "0.00001234", price(decimal.MustParse("0.00001234")))
	require.Equal(t, "1,455.22", price(decimal.MustParse("1455.219971")))
	require.Equal(t, "1.06421", price(decimal.MustParse("1.06421")))
	require.Equal(t, "1.00", price(decimal.MustParse("1")))
	require.Equal(t, "65,432.10", price(decimal.MustParse("65432.1")))
	require.Equal(t, "12,345,678.13", price(decimal.MustParse("12345678.125")))
	require.Equal(t, "-12.35 %", percent(decimal.MustParse("-0.12345")))
	require.Equal(t, "12,345.00 %", percent(decimal.MustParse("123.45")))
}

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
