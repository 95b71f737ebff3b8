package amount

import (
	"testing"

	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"
)

func TestNumbersAreGroupedAndRounded(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0.00", "1.005": "1.01", "-1.005": "-1.01", "999.999": "1,000.00", "1234567.5": "1,234,567.50", "-123456": "-123,456.00", "-123": "-123.00",
	} {
		require.Equal(t, want, Money(decimal.MustParse(in)))
	}
	require.Equal(t, "0.00001234", Price(decimal.MustParse("0.00001234")))
	require.Equal(t, "1,455.22", Price(decimal.MustParse("1455.219971")))
	require.Equal(t, "1.06421", Price(decimal.MustParse("1.06421")))
	require.Equal(t, "1.00", Price(decimal.MustParse("1")))
	require.Equal(t, "65,432.10", Price(decimal.MustParse("65432.1")))
	require.Equal(t, "12,345,678.13", Price(decimal.MustParse("12345678.125")))
	require.Equal(t, "-12.35 %", Percent(decimal.MustParse("-0.12345")))
	require.Equal(t, "12,345.00 %", Percent(decimal.MustParse("123.45")))
}
