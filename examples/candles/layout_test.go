package candles

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// read returns each candle as its time and close, and the warnings.
func read(text string, o Options) (got, warnings []string, err error) {
	o.Digits = maxDecimals
	r, err := NewReader("f.csv", strings.NewReader(text), o)
	for err == nil {
		var c Candle
		if c, err = r.Next(); err == nil {
			got = append(got, c.Time.Format("2006-01-02T15:04:05.999 ")+c.Close.String())
		}
	}
	if errors.Is(err, io.EOF) {
		return got, r.Warnings(), nil
	}
	return got, nil, err
}

// days are the candles of most files here.
var days = []string{"2024-01-30T00:00:00 11", "2024-01-31T00:00:00 12.5"}

func TestReaderReadsFilesAsPeopleHaveThem(t *testing.T) {
	const plain = "date,open,high,low,close,volume\n2024-01-30,10,12,9,11,5\n2024-01-31,11,13,10,12.5,6\n"
	hours := []string{"2024-01-30T09:30:00 11", "2024-01-30T10:30:00 12.5"}
	for name, c := range map[string]struct {
		text string
		o    Options
		want []string
	}{
		"newest first":       {"date,open,high,low,close\n2024-01-31,11,13,10,12.5\n2024-01-30,10,12,9,11\n", Options{}, days},
		"link above":         {"https://prices.example\nunix,date,symbol,open,high,low,close,Volume BTC\n1706659200,2024-01-31 00:00:00,BTC/USD,11,13,10,12.5,1\n1706572800,2024-01-30 00:00:00,BTC/USD,10,12,9,11,1\n", Options{}, days},
		"three headers":      {"Price,Adj Close,Close,High,Low,Open,Volume\nTicker,AB,AB,AB,AB,AB,AB\nDate,,,,,,\n2024-01-30,1,11,12,9,10,5\n2024-01-31,1,12.5,13,10,11,5\n", Options{}, days},
		"side by side":       {"Price,Close,Close,High,High,Low,Low,Open,Open\nTicker,AB,CD,AB,CD,AB,CD,AB,CD\nDate,,,,,,,,\n2024-01-30,1,11,1,12,1,9,1,10\n2024-01-31,1,12.5,1,13,1,10,1,11\n", Options{Symbol: "CD"}, days},
		"ticker above":       {"Ticker,AB,AB,AB,AB\nPrice,Open,High,Low,Close\nDate,,,,\n2024-01-30,10,12,9,11\n2024-01-31,11,13,10,12.5\n", Options{}, days},
		"index without name": {",Open,High,Low,Close\n2024-01-30,10,12,9,11\n2024-01-31,11,13,10,12.5\n", Options{}, days},
		"price is close":     {"\ufeff\"Date\",\"Price\",\"Open\",\"High\",\"Low\",\"Vol.\"\n\"Jan 31, 2024\",\"12.50\",\"11\",\"1,300\",\"10\",\"1.31M\"\n\"Jan 30, 2024\",\"11\",\"10\",\"1,200.5\",\"9\",\"-\"\n", Options{}, days},
		"dollars":            {"Date,Close/Last,Volume,Open,High,Low\n01/31/2024,$12.50,1,$11,$13,$10\n01/30/2024,$11,1,$10,$12,$9\n", Options{}, days},
		"no prices on a day": {"date,open,high,low,close\n2024-01-30,10,12,9,11\n2024-01-30,null,null,null,null\n2024-01-31,11,13,10,12.5\n", Options{}, days},
		"semicolons":         {"timestamp_utc;open;high;low;close\n2024-01-30 09:30:00;10;12;9;11\n2024-01-30 10:30:00;11;13;10;12.5\n", Options{}, hours},
		"decimal commas":     {"Date;Open;High;Low;Close\n30.01.2024;10,00;1.200,00;9,00;11,00\n31.01.2024;11,00;1.300,00;10,00;12,50\n", Options{}, days},
		"quoted commas":      {"Date,Open,High,Low,Close\n30.01.2024,\"10,0\",\"12,0\",\"9,0\",\"11,0\"\n31.01.2024,\"11,0\",\"13,0\",\"10,0\",\"12,5\"\n", Options{}, days},
		"date and time":      {"<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n2024.01.30\t09:30:00\t10\t12\t9\t11\t5\n2024.01.30\t10:30:00\t11\t13\t10\t12.5\t5\n", Options{}, hours},
		"short clock":        {"Date,Time,Open,High,Low,Close\n01/30/2024,930,10,12,9,11\n01/30/2024,1030,11,13,10,12.5\n", Options{}, hours},
		"one clock a day":    {"<PER>;<DATE>;<TIME>;<OPEN>;<HIGH>;<LOW>;<CLOSE>\n60;20240130;093000;10;12;9;11\n60;20240131;103000;11;13;10;12.5\n", Options{}, []string{hours[0], "2024-01-31T10:30:00 12.5"}},
		"two spaces":         {"date,open,high,low,close\n20240130  09:30:00,10,12,9,11\n20240130  10:30:00,11,13,10,12.5\n", Options{}, hours},
		"date and unix":      {"date,timestamp,open,high,low,close\n2024-01-30,1706607000,10,12,9,11\n2024-01-30,1706610600,11,13,10,12.5\n", Options{}, hours},
		"date and midnight":  {"<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\nAB.US,D,20240130,000000,10,12,9,11,1\nAB.US,D,20240131,000000,11,13,10,12.5,1\n", Options{}, days},
		"no header":          {"2024-01-30,10,12,9,11\n2024-01-31,11,13,10,12.5\n", Options{}, days},
		"no header, clock":   {"2024.01.30,09:30,10,12,9,11,5\n2024.01.30,10:30,11,13,10,12.5,5\n", Options{}, hours},
		"no header, tabs":    {"2024-01-30 09:30\t10\t12\t9\t11\t5\n2024-01-30 10:30\t11\t13\t10\t12.5\t5\n", Options{}, hours},
		"no header, ticker":  {"AB,20240130,10,12,9,11,5\nAB,20240131,11,13,10,12.5,5\n", Options{}, days},
		"no header, glued":   {"20240130 093000;10;12;9;11;5\n20240130 103000;11;13;10;12.5;5\n", Options{}, hours},
		"one of two":         {"date,symbol,open,high,low,close\n2024-01-30,AB,1,1,1,1\n2024-01-30,CD,10,12,9,11\n2024-01-31,AB,1,1,1,1\n2024-01-31,CD,11,13,10,12.5\n", Options{Symbol: "cd"}, days},
		"one kind of two":    {"date,kind,open,high,low,close\n2024-01-30,bid,10,12,9,11\n2024-01-30,ask,1,1,1,1\n2024-01-31,bid,11,13,10,12.5\n", Options{Symbol: "kind=bid"}, days},
		"day before month":   {"date,open,high,low,close\n05/01/2024,1,1,1,1\n30/01/2024,10,12,9,11\n", Options{}, []string{"2024-01-05T00:00:00 1", days[0]}},
		"told day first":     {"date,open,high,low,close\n01/02/2024,10,12,9,11\n", Options{Dates: "dmy"}, []string{"2024-02-01T00:00:00 11"}},
		"told comma":         {"date;open;high;low;close\n2024-01-30;1,000;1,200;0,900;1,100\n", Options{Decimal: "comma"}, []string{"2024-01-30T00:00:00 1.1"}},
		"three decimals":     {"date,open,high,low,close\n2024-01-30,109.123,109.500,109.000,109.250\n", Options{}, []string{"2024-01-30T00:00:00 109.25"}},
		"exponents":          {"date,open,high,low,close\n2024-01-30,1.76e-06,2E-6,1e-06,1.82e-06\n", Options{}, []string{"2024-01-30T00:00:00 0.00000182"}},
		"Indian thousands":   {"date,open,high,low,close\n2024-01-30,\"1,00,000.5\",\"1,00,001.5\",\"1,00,000\",\"1,00,001\"\n", Options{}, []string{"2024-01-30T00:00:00 100001"}},
		"Swiss thousands":    {"date,open,high,low,close\n2024-01-30,1'000.5,1'001.5,1'000,1'001\n", Options{}, []string{"2024-01-30T00:00:00 1001"}},
		"before 1970":        {"date,open,high,low,close\n-347155200,10,12,9,11\n86400,11,13,10,12.5\n", Options{}, []string{"1959-01-01T00:00:00 11", "1970-01-02T00:00:00 12.5"}},
		"gzip":               {gzipped(plain), Options{}, days},
		"zip":                {zipped("a.csv", plain), Options{}, days},
		"UTF-16":             {utf16LE("\ufeff" + plain), Options{}, days},
		"UTF-16, no mark":    {utf16LE(plain), Options{}, days},
		"gzip of UTF-16":     {gzipped(utf16LE("\ufeff" + plain)), Options{}, days},
		"Windows-1252":       {"Datum;Er\xf6ffnung;Hoch;Tief;Schluss\n30.01.2024;10;12;9;11\n31.01.2024;11;13;10;12,5\n", Options{}, days},
		"symbol with a dot":  {"\"\",\"AB.Open\",\"AB.High\",\"AB.Low\",\"AB.Close\"\n\"2024-01-30\",10,12,9,11\n\"2024-01-31\",11,13,10,12.5\n", Options{}, days},
		"months":             {"month,open,high,low,close\n2024-01,10,12,9,11\n2024-02,11,13,10,12.5\n", Options{}, []string{"2024-01-01T00:00:00 11", "2024-02-01T00:00:00 12.5"}},
		"all rows twice":     {"date,open,high,low,close\n2024-01-30,10,12,9,11\n2024-01-30,10,12,9,11\n2024-01-31,11,13,10,12.5\n2024-01-31,11,13,10,12.5\n", Options{}, days},
		"Excel's hint":       {"sep=;\nDate;Open;High;Low;Close\n30.01.2024;10;12;9;11\n31.01.2024;11;13;10;12.5\n", Options{}, days},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := read(c.text, c.o)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestReaderRefusesWhatItCannotTell(t *testing.T) {
	const head = "date,open,high,low,close\n"
	for name, c := range map[string]struct {
		text string
		o    Options
		want string
	}{
		"row numbers":       {head + "0,1,1,1,1\n1,1,1,1,1\n", Options{}, `f.csv:2: column date: value "0": is not a plausible Unix time`},
		"spreadsheet days":  {head + "43832,1,1,1,1\n", Options{}, "may be the day number of a spreadsheet: give the column a date format there"},
		"compact or unix":   {head + "2024010215,1,1,1,1\n", Options{}, "can be 2034-02-20T01:03:35Z or 2024-01-02T15:00:00Z: write it as 2006-01-02 15:04:05"},
		"day or month":      {head + "01/02/2024,1,1,1,1\n", Options{}, "can be 2024-01-02T00:00:00Z or 2024-02-01T00:00:00Z, and no row tells the order of day and month: say which with -dates mdy or -dates dmy"},
		"weekend or month":  {head + "06/08/2024,1,1,1,1\n06/09/2024,1,1,1,1\n", Options{}, "no row tells the order of day and month"},
		"thousands or not":  {"date;open;high;low;close\n2024-01-30;1,000;1,200;0,900;1,100\n2024-01-31;1,000;1,200;1,100;1,100\n", Options{Decimal: "point"}, ""},
		"comma of any use":  {"date;open;high;low;close\n2024-01-30;1,000;1,200;1,100;1,100\n", Options{}, "say which with -decimal point or -decimal comma"},
		"two symbols":       {"date,ticker,open,high,low,close\n2024-01-30,AB,1,1,1,1\n2024-01-30,CD,1,1,1,1\n", Options{}, "f.csv: column ticker holds 2 instruments in the first rows: AB, CD: choose one with -symbol AB, or keep one instrument a file"},
		"side by side":      {"Price,Close,Close,High,High,Low,Low,Open,Open\nTicker,AB,CD,AB,CD,AB,CD,AB,CD\nDate,,,,,,,,\n2024-01-30,1,11,1,12,1,9,1,10\n", Options{}, "f.csv:1: the header holds 2 instruments: AB, CD: choose one with -symbol AB"},
		"hidden symbols":    {"date,what,open,high,low,close\n2024-01-30,AB,1,1,1,1\n2024-01-30,CD,2,2,2,2\n", Options{}, `f.csv:3: column what: value "CD": the row before has the same time and "AB": choose one of them with -symbol "what=AB"`},
		"two without names": {head + "2024-01-30,1,1,1,1\n2024-01-30,7,7,7,7\n2024-01-31,1,1,1,1\n2024-01-31,7,7,7,7\n", Options{}, `f.csv:3: column date: value "2024-01-30": most rows have the time of the row before: want one instrument`},
		"a previous close":  {"date,open,high,low,prev. close\n2024-01-30,1,1,1,1\n", Options{}, "f.csv:1: no column close"},
		"no such symbol":    {"date,ticker,open,high,low,close\n2024-01-30,AB,1,1,1,1\n2024-01-30,CD,1,1,1,1\n", Options{Symbol: "EF"}, "f.csv: -symbol EF: column ticker has no such instrument: want one of AB, CD"},
		"no symbols":        {head + "2024-01-30,1,1,1,1\n", Options{Symbol: "EF"}, "f.csv: -symbol EF: no column names the instrument: want one of date, open, high, low, close"},
		"unsorted":          {head + "2024-01-30,1,1,1,1\n2024-01-29,1,1,1,1\n2024-02-01,1,1,1,1\n", Options{}, "is earlier than the row before, 2024-01-30: sort the rows by time"},
		"unsorted backward": {head + "2024-01-30,1,1,1,1\n2024-01-28,1,1,1,1\n2024-01-29,1,1,1,1\n", Options{}, "is later than the row before, 2024-01-28, in a file that begins with the newest candle"},
		"odd clock":         {"date,time,open,high,low,close\n2024-01-30,0.395,1,1,1,1\n2024-01-30,0.396,1,1,1,1\n", Options{}, `column time: value "0.395": is not a time of day`},
		"a price missing":   {head + "2024-01-30,1,1,1,1\n2024-01-31,1,null,1,1\n", Options{}, `f.csv:3: column high: value "null": is not a decimal number`},
		"other order":       {"1706572800,9,12,10,11\n1706659200,10,13,11,12\n", Options{}, "these are no open, high, low and close in this order: give the file a header"},
		"web page":          {"<!DOCTYPE html>\n<html>", Options{}, "f.csv: is a web page or XML, as a failed download is: want CSV"},
		"JSON":              {`{"prices": []}`, Options{}, "f.csv: is JSON: want CSV"},
		"Parquet":           {"PAR1xxxx", Options{}, "f.csv: is a Parquet file: want CSV"},
		"a program":         {"\x7fELF\x02\x01\x00\x00\x00", Options{}, "f.csv: is no text: want CSV"},
		"two files":         {zipped("a.csv", "x", "b.csv", "y"), Options{}, "f.csv: is a zip archive of 2 files (a.csv, b.csv): want one, so unpack it and choose"},
		"spreadsheet":       {zipped("[Content_Types].xml", "x"), Options{}, "f.csv: is a spreadsheet: save it as CSV"},
		"cut zip":           {zipped("a.csv", "x")[:60], Options{}, "f.csv: is a zip archive that cannot be read, perhaps cut"},
		"cut gzip":          {gzipped(head + "2024-01-30,1,1,1,1\n")[:30], Options{}, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := read(c.text, c.o)
			if c.want == "" {
				require.NoError(t, err)
				require.Len(t, got, 2)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestReaderWarnsOfWhatIsOdd(t *testing.T) {
	const head = "date,open,high,low,close\n"
	for name, c := range map[string]struct {
		text    string
		candles int
		want    string
	}{
		"nothing":   {head + "2024-01-30,1,1,1,1\n", 1, ""},
		"repeated":  {head + "2024-01-30,1,1,1,1\n2024-01-30,1,1,1,1\n", 1, "f.csv: rows left out, the same as the row before: 1, the first in line 3"},
		"same time": {head + "2024-01-30,1,1,1,1\n2024-01-30,2,2,2,2\n", 2, "f.csv: rows with the time of the row before: 1, the first in line 3"},
		"no prices": {head + "2024-01-30,1,1,1,1\n2024-01-31,NaN,NaN,NaN,NaN\n2024-02-01,,,,\n", 1, "f.csv: rows left out, without prices: 2, the first in line 3"},
		"outside":   {head + "2024-01-30,1,1,1,3\n", 1, "f.csv: rows with an open or close beyond high and low: 1, the first in line 2"},
		"cut":       {head + "2024-01-30,1,1,1,1", 1, "f.csv: the last line, 2, has no end: if the file was cut, its last number may be cut too"},
		"weekdays":  {head + "11/5/2019 9:30,1,1,1,1\n11/5/2019 9:31,1,1,1,1\n", 2, `f.csv: "11/5/2019 9:30" in line 2 is read as 5 November 2019: read otherwise, candles fall on weekends; -dates mdy or -dates dmy says how to read it`},
	} {
		t.Run(name, func(t *testing.T) {
			got, warnings, err := read(c.text, Options{})
			require.NoError(t, err)
			require.Len(t, got, c.candles)
			require.Equal(t, c.want, strings.Join(warnings, "\n"))
		})
	}
}

func TestReaderTakesVolumesThatAreNoNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"NaN": "0", "N/A": "0", "-1": "0", "-": "0", "": "0", "many": "0",
		`"1,000"`: "1000", "1.2M": "1200000", "904.50K": "904500", "1.1b": "1100000000", "2e-05": "0.00002", "7.0": "7",
	} {
		got, err := readAll(header+"2024-01-30,1,1,1,1,"+text+"\n", maxDecimals)
		require.NoError(t, err, text)
		require.Equal(t, want, got[0].Volume.String(), text)
	}
}

// The sample ends before the last rows do: what it told holds for them too.
func TestReaderHoldsToWhatTheFirstRowsTell(t *testing.T) {
	var b strings.Builder
	b.WriteString("date,symbol,open,high,low,close\n")
	for i := range sampled + 10 {
		fmt.Fprintf(&b, "%d,AB,1,1,1,1\n", 1_600_000_000+60*i)
	}
	got, _, err := read(b.String(), Options{})
	require.NoError(t, err)
	require.Len(t, got, sampled+10)
	got, _, err = read(b.String()+"1700000000,CD,1,1,1,1\n", Options{})
	require.ErrorContains(t, err, "column symbol holds 2 instruments")
	require.Len(t, got, sampled+10)
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

func zipped(namesAndTexts ...string) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(namesAndTexts); i += 2 {
		f, _ := w.Create(namesAndTexts[i])
		io.WriteString(f, namesAndTexts[i+1])
	}
	w.Close()
	return b.String()
}

func utf16LE(text string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = append(b, byte(unit), byte(unit>>8))
	}
	return string(b)
}
