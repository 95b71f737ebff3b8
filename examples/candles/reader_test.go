package candles

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"
)

const maxDecimals = 19

// minutes are n rows, each followed by a text.
func minutes(n int, after string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d,2,4,1,3,7\n%s", 1_700_000_000+60*i, after)
	}
	return b.String()
}

const header = "date,open,high,low,close,volume\n"

// kline is a row of Binance's public data without its open time.
const kline = ",42283.58000000,42554.57000000,42261.02000000,42475.23000000,1271.68108000,1704070799999,53957248.97,47134,682.57581,28957416.81,0\n"

func readAll(text string, decimals int) (candles []Candle, err error) {
	r, err := NewReader("prices.csv", strings.NewReader(text), Options{Digits: decimals})
	for err == nil {
		var c Candle
		if c, err = r.Next(); err == nil {
			candles = append(candles, c)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return candles, err
}

func day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func TestReaderUnderstandsEveryDateFormat(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Time
	}{
		{"2024-01-02", day(2024, 1, 2)},
		{"2024-01-02T15:04:05Z", time.Date(2024, 1, 2, 15, 4, 5, 0, time.UTC)},
		{"2024-01-02T15:04:05.25+01:00", time.Date(2024, 1, 2, 14, 4, 5, 250e6, time.UTC)},
		{"1704153600", day(2024, 1, 2)},
		{"1704153600000", day(2024, 1, 2)},
		{"1704153600250", day(2024, 1, 2).Add(250 * time.Millisecond)},
		{"1704153600000000", day(2024, 1, 2)},
		{"1704153600000000000", day(2024, 1, 2)},
		{"1704153600.25", day(2024, 1, 2).Add(250 * time.Millisecond)},
		{"1704153600.0", day(2024, 1, 2)},
		{"315532800000", day(1980, 1, 1)},
		{"-347155200", day(1959, 1, 1)},
		{"20240102", day(2024, 1, 2)},
		{"202401021504", time.Date(2024, 1, 2, 15, 4, 0, 0, time.UTC)},
		{"20240102150405", time.Date(2024, 1, 2, 15, 4, 5, 0, time.UTC)},
		{"20240102 150405", time.Date(2024, 1, 2, 15, 4, 5, 0, time.UTC)},
		{"2024-01-02 15:04", time.Date(2024, 1, 2, 15, 4, 0, 0, time.UTC)},
		{"2024-01-02 15:04:05.5", time.Date(2024, 1, 2, 15, 4, 5, 500e6, time.UTC)},
		{"2024-01-02 15:04:05-05:00", time.Date(2024, 1, 2, 20, 4, 5, 0, time.UTC)},
		{"2024-01-02 15:04:05+00", time.Date(2024, 1, 2, 15, 4, 5, 0, time.UTC)},
		{"2024-01-02 15:04:05 +0100", time.Date(2024, 1, 2, 14, 4, 5, 0, time.UTC)},
		{"2024-01-02 15:04:05 UTC", time.Date(2024, 1, 2, 15, 4, 5, 0, time.UTC)},
		{"2024-01-02T15:04:05.123", time.Date(2024, 1, 2, 15, 4, 5, 123e6, time.UTC)},
		{"2024-01-02 11-PM", day(2024, 1, 2).Add(23 * time.Hour)},
		{"2024/1/2", day(2024, 1, 2)},
		{"2024.01.02 15:04", time.Date(2024, 1, 2, 15, 4, 0, 0, time.UTC)},
		{"1/31/2024", day(2024, 1, 31)},
		{"31/1/2024 9:30", time.Date(2024, 1, 31, 9, 30, 0, 0, time.UTC)},
		{"1/31/2024 9:30 PM", time.Date(2024, 1, 31, 21, 30, 0, 0, time.UTC)},
		{"01/31/24", day(2024, 1, 31)},
		{"31-01-2024", day(2024, 1, 31)},
		{"02.01.2024", day(2024, 1, 2)},
		{"02.01.2024 15:04:05.000 GMT+0100", time.Date(2024, 1, 2, 14, 4, 5, 0, time.UTC)},
		{"2-Jan-2024", day(2024, 1, 2)},
		{"02 Jan 2024", day(2024, 1, 2)},
		{"January 2 2024", day(2024, 1, 2)},
		{"02JAN2024", day(2024, 1, 2)},
		{`"Jan 02, 2024"`, day(2024, 1, 2)},
		{`"Tuesday, January 2, 2024"`, day(2024, 1, 2)},
		{" 2024-01-02 ", day(2024, 1, 2)},
		{`"2024-01-02"`, day(2024, 1, 2)},
	} {
		candles, err := readAll(header+c.text+",1,1,1,1,0\n", maxDecimals)
		require.NoError(t, err, c.text)
		require.Len(t, candles, 1)
		require.True(t, c.want.Equal(candles[0].Time), "%s is %s", c.text, candles[0].Time)
	}
}

func TestReaderFindsColumnsByName(t *testing.T) {
	want := []Candle{{
		Time: day(2024, 1, 2), Open: decimal.MustParse("2"), High: decimal.MustParse("4.5"), Low: decimal.MustParse("1"),
		Close: decimal.MustParse("3"), Volume: decimal.MustParse("7"),
	}}
	for name, text := range map[string]string{
		"usual order":        "date,open,high,low,close,volume\n2024-01-02,2,4.5,1,3,7\n",
		"other order":        "volume,close,low,high,open,date\n7,3,1,4.5,2,2024-01-02\n",
		"any case":           "DATE,Open,HIGH,lOw,Close,Volume\n2024-01-02,2,4.5,1,3,7\n",
		"other columns":      "date,open,high,low,close,adjclose,volume,symbol\n2024-01-02,2,4.5,1,3,9.9,7,SPX\n",
		"commas at the end":  "date,open,high,low,close,volume\n2024-01-02,2,4.5,1,3,7,,\n",
		"spaces between":     "date open high low close volume\n2024-01-02  2  4.5  1 3  7\n",
		"bars":               "date|open|high|low|close|volume\n2024-01-02|2|4.5|1|3|7\n",
		"old line ends":      "date,open,high,low,close,volume\r2024-01-02,2,4.5,1,3,7\r",
		"short names":        "t,o,h,l,c,v\n2024-01-02,2,4.5,1,3,7\n",
		"units":              "Date,Open (USD),High (USD),Low (USD),Close (USD),Volume (BTC)\n2024-01-02,2,4.5,1,3,7\n",
		"numbered":           "timestamp,1. open,2. high,3. low,4. close,5. volume\n2024-01-02,2,4.5,1,3,7\n",
		"German":             "Datum;Eröffnung;Hoch;Tief;Schlusskurs;Volumen\n02.01.2024;2,0;4,5;1,0;3,0;7\n",
		"two times":          "timestamp,date,open,high,low,close,volume\nnoon,2024-01-02,2,4.5,1,3,7\n",
		"time":               "time,open,high,low,close,volume\n2024-01-02,2,4.5,1,3,7\n",
		"spaces":             " date , open, high ,low,close,volume\n 2024-01-02 , 2, 4.5 ,1,3,7\n",
		"quotes":             "\"date\",\"open\",\"high\",\"low\",\"close\",\"volume\"\n\"2024-01-02\",\"2\",4.5,1,3,7\n",
		"byte order mark":    "\ufeffdate,open,high,low,close,volume\n2024-01-02,2,4.5,1,3,7\n",
		"carriage returns":   "date,open,high,low,close,volume\r\n2024-01-02,2,4.5,1,3,7\r\n",
		"blank lines":        "\ndate,open,high,low,close,volume\n\n2024-01-02,2,4.5,1,3,7\n  \n",
		"no end of line":     "date,open,high,low,close,volume\n2024-01-02,2,4.5,1,3,7",
		"Binance's header":   "open_time,open,high,low,close,volume,close_time\n1704153600000,2,4.5,1,3,7,0\n",
		"digits beyond need": "date,open,high,low,close,volume\n2024-01-02,2.000,4.50000000,1.0,3.0,7.0\n",
	} {
		candles, err := readAll(text, maxDecimals)
		require.NoError(t, err, name)
		require.Equal(t, len(want), len(candles), name)
		requireSameCandle(t, want[0], candles[0], name)
	}
}

func requireSameCandle(t *testing.T, want, got Candle, name string) {
	t.Helper()
	require.True(t, want.Time.Equal(got.Time), name)
	for _, pair := range [][2]decimal.Decimal{
		{want.Open, got.Open}, {want.High, got.High}, {want.Low, got.Low}, {want.Close, got.Close}, {want.Volume, got.Volume},
	} {
		require.Equal(t, pair[0].String(), pair[1].String(), name)
	}
}

func TestReaderTakesFilesWithoutVolume(t *testing.T) {
	for _, text := range []string{
		"date,open,high,low,close\n2024-01-02,1,1,1,1\n",
		"date,open,high,low,close,volume\n2024-01-02,1,1,1,1,\n",
	} {
		candles, err := readAll(text, maxDecimals)
		require.NoError(t, err)
		require.Len(t, candles, 1)
		require.True(t, candles[0].Volume.IsZero())
	}
}

func TestReaderUnderstandsKlinesInMillisecondsAndMicroseconds(t *testing.T) {
	text := "1704067200000" + kline + "1704070800000" + kline + "1735689600000000" + kline
	candles, err := readAll(text, maxDecimals)
	require.NoError(t, err)
	require.Len(t, candles, 3)
	want := Candle{
		Time: day(2024, 1, 1), Open: decimal.MustParse("42283.58"), High: decimal.MustParse("42554.57"),
		Low: decimal.MustParse("42261.02"), Close: decimal.MustParse("42475.23"), Volume: decimal.MustParse("1271.68108"),
	}
	requireSameCandle(t, want, candles[0], "milliseconds")
	require.True(t, day(2024, 1, 1).Add(time.Hour).Equal(candles[1].Time))
	want.Time = day(2025, 1, 1)
	requireSameCandle(t, want, candles[2], "microseconds")
}

func TestReaderTakesEqualTimes(t *testing.T) {
	candles, err := readAll(header+"2024-01-02,1,1,1,1,0\n2024-01-02,2,2,2,2,0\n", maxDecimals)
	require.NoError(t, err)
	require.Len(t, candles, 2)
}

func TestReaderNamesTheBadValue(t *testing.T) {
	const good = "2024-01-02,2,4,1,3,7\n"
	for name, c := range map[string]struct {
		row    string
		column string
		value  string
		reason string
	}{
		"date":             {"02.01.2024,2,4,1,3,7", "date", "02.01.2024", "is not a date like the others"},
		"no date":          {",2,4,1,3,7", "date", "", "is not a date"},
		"no such day":      {"2024-02-30,2,4,1,3,7", "date", "2024-02-30", "is not a date"},
		"another format":   {"1704153600,2,4,1,3,7", "date", "1704153600", "is not a date"},
		"beyond all time":  {"-9223372036854775808,2,4,1,3,7", "date", "-9223372036854775808", "is not a date"},
		"backwards":        {"2024-01-01,2,4,1,3,7", "date", "2024-01-01", "is earlier than the row before, 2024-01-02"},
		"open":             {"2024-01-03,abc,4,1,3,7", "open", "abc", "is not a decimal number"},
		"no open":          {"2024-01-03,,4,1,3,7", "open", "", "is not a decimal number"},
		"NaN":              {"2024-01-03,2,NaN,1,3,7", "high", "NaN", "is not a decimal number"},
		"exponent alone":   {"2024-01-03,2,e4,1,3,7", "high", "e4", "is not a decimal number"},
		"huge exponent":    {"2024-01-03,2,4e999999999,1,3,7", "high", "4e999999999", "is not a decimal number"},
		"wrong thousands":  {`2024-01-03,2,"1,23.5",1,3,7`, "high", "1,23.5", "is not a decimal number"},
		"zero price":       {"2024-01-03,2,4,0,3,7", "low", "0", "a price must be more than 0"},
		"negative price":   {"2024-01-03,2,4,1,-3,7", "close", "-3", "a price must be more than 0"},
		"high below low":   {"2024-01-03,2,4,5,3,7", "high", "4", "the high is below the low, 5"},
		"too many digits":  {"2024-01-03,2.1234567,4,1,3,7", "open", "2.1234567", "has more than 6 digits after the point"},
		"beyond a decimal": {"2024-01-03,2,4,1,3.12345678901234567890,7", "close", "3.12345678901234567890", "has more than 6 digits"},
		"short row":        {"2024-01-03,2,4,1", "close", "", "is missing: the row has 4 columns of 6"},
		"long row":         {"2024-01-03,2,4,1,3,7,8", "7", "8", "the row has 7 columns, the first row 6"},
		"stray quote":      {`2024-01-03,2,4",1,3,7`, "high", `4"`, `bare "`},
		"open quote":       {`"2024-01-03,2,4,1,3,7`, "date", `"2024-01-03,2,4,1,3,7`, `missing "`},
		"later open quote": {`2024-01-03,2,"4,1,3,7`, "high", `"4,1,3,7`, `missing "`},
		"quoted comma":     {`"2024-01-03","2,5",4"5,1,3,7`, "high", `4"5`, `bare "`},
		"padded price":     {"2024-01-03,2,4, -5 ,3,7", "low", "-5", "a price must be more than 0"},
		"endless value":    {"2024-01-03," + strings.Repeat("9", 300) + "x,4,1,3,7", "open", strings.Repeat("9", 80) + "...", "is not a decimal number"},
	} {
		t.Run(name, func(t *testing.T) {
			candles, err := readAll(header+good+c.row+"\n"+good, 6)
			require.Len(t, candles, 1, "the rows before the bad one are good")
			var bad *rowError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, "prices.csv", bad.File)
			require.Equal(t, 3, bad.Line)
			require.Equal(t, c.column, bad.Column)
			require.Equal(t, c.value, bad.Value)
			require.Contains(t, bad.Reason, c.reason)
		})
	}
}

func TestRowErrorNamesFileLineColumnAndValue(t *testing.T) {
	_, err := readAll(header+"\n2024-01-02,2,4,1,three,7\n", maxDecimals)
	require.EqualError(t, err, `prices.csv:3: column close: value "three": is not a decimal number such as 1455.22`)
	_, err = readAll("1704067200000"+kline+"1704067100000"+kline+"1704070800000"+kline, maxDecimals)
	require.EqualError(t, err, `prices.csv:2: column date: value "1704067100000": is earlier than the row before, 1704067200000: sort the rows by time`)
}

func TestReaderCountsLines(t *testing.T) {
	for _, n := range []int{10, 3 * sampled} {
		candles, err := readAll(header+minutes(n, "\n")+"1800000000,2,4,1,x,7\n", maxDecimals)
		require.Len(t, candles, n)
		require.ErrorContains(t, err, fmt.Sprintf("prices.csv:%d: column close", 2*n+2))
	}
}

func TestReaderRefusesFilesThatAreNoCandles(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "prices.csv: is empty: want a header with the columns date, open, high, low and close",
		"\n\n":                               "prices.csv: is empty",
		"date,open,high,close\n":             "prices.csv:1: no column low in the first row",
		"2024-01-02,1,1,1\n":                 "prices.csv:1: no column date, open, high, low, close in the first row",
		"date,open,high,low,close,CLOSE\n":   "prices.csv:1: the header has two columns close",
		"date,\"open,high,low,close,close\n": "prices.csv:1: column",
		strings.Repeat("x", 1<<20) + "\n":    "prices.csv:1: the row is longer than 65536 bytes",
	} {
		_, err := readAll(text, maxDecimals)
		require.ErrorContains(t, err, want)
	}
}

func TestReaderRefusesAHeaderWithoutCandles(t *testing.T) {
	for name, text := range map[string]string{
		"header alone":  header,
		"blank lines":   header + "\n \n",
		"no price ever": header + "2024-01-02,null,null,null,null,null\n",
	} {
		_, err := readAll(text, maxDecimals)
		require.EqualError(t, err, "prices.csv: has a header and no candles: want a row for each, on a line of its own", name)
	}
}

func TestReaderPassesReadErrorsOn(t *testing.T) {
	broken := errors.New("the disk is gone")
	r, err := NewReader("prices.csv", io.MultiReader(strings.NewReader(header+"2024-01-02,1,1,1,1,0\n"), iotest.ErrReader(broken)), Options{Digits: maxDecimals})
	require.NoError(t, err)
	_, err = r.Next()
	require.NoError(t, err)
	_, err = r.Next()
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "prices.csv:3: ")
}

func TestReaderKeepsOneRow(t *testing.T) {
	r, err := NewReader("prices.csv", strings.NewReader(header+minutes(6*sampled, "")), Options{Digits: maxDecimals})
	require.NoError(t, err)
	for range sampled {
		_, err := r.Next()
		require.NoError(t, err)
	}
	perRow := testing.AllocsPerRun(10_000, func() {
		if _, err := r.Next(); err != nil {
			t.Error(err)
		}
	})
	require.LessOrEqual(t, perRow, 1.0, "the row's text alone")
}

func FuzzReader(f *testing.F) {
	f.Add(header + "2024-01-02,2,4,1,3,7\n2024-01-03,2,4,1,3,7\n")
	f.Add("time,open,high,low,close\n1704153600,1,1,1,1\n1704153600000,1,1,1,1\n")
	f.Add("1704067200000" + kline + "1735689600000000" + kline)
	f.Add("date,\"open\",high,low,close\n2024-01-02T15:04:05+01:00,\"1\",1,1,1\n")
	f.Add(header + "2024-01-02,2,\"4,1,3,7\n")
	f.Fuzz(func(t *testing.T, text string) {
		candles, err := readAll(text, 6)
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "prices.csv:"), "%v", err)
		}
		for i, c := range candles {
			for _, price := range []decimal.Decimal{c.Open, c.High, c.Low, c.Close} {
				require.True(t, price.IsPos())
				require.LessOrEqual(t, price.Prec(), 6)
			}
			require.False(t, c.High.LessThan(c.Low))
			require.False(t, c.Volume.IsNeg())
			require.True(t, i == 0 || !c.Time.Before(candles[i-1].Time))
		}
	})
}

func TestReaderCountsEveryByte(t *testing.T) {
	text := "date,open,high,low,close,volume\r\n2024-01-02,2,4,1,3,7\r\n2024-01-03,2,4,1,3,7"
	reader, err := NewReader("prices.csv", strings.NewReader(text), Options{Digits: maxDecimals})
	require.NoError(t, err)
	for range 2 {
		_, err = reader.Next()
		require.NoError(t, err)
	}
	require.EqualValues(t, len(text), reader.Bytes())
}
