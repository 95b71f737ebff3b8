package wire

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// The messages are in the form that the exchange documents, with every field.
func TestMessagesOfAnExchangeAreUnderstood(t *testing.T) {
	var k KlineEvent
	require.NoError(t, json.Unmarshal([]byte(`{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515839999,
		"s":"BNBBTC","i":"1m","f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,"x":true,
		"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}`), &k))
	require.Equal(t, "BNBBTC", k.Kline.Symbol)
	require.Equal(t, []string{"0.001", "0.0025", "0.0015", "0.002", "1000"},
		[]string{k.Kline.Open.String(), k.Kline.High.String(), k.Kline.Low.String(), k.Kline.Close.String(), k.Kline.Volume.String()})
	require.Equal(t, [2]int64{1672515780000, 1672515839999}, [2]int64{k.Kline.Start, k.Kline.End})
	require.True(t, k.Kline.Closed)

	var b BookTicker
	require.NoError(t, json.Unmarshal([]byte(`{"u":400900217,"s":"BNBUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66"}`), &b))
	require.Equal(t, []string{"25.35", "31.21", "25.36", "40.66"}, []string{b.Bid.String(), b.BidSize.String(), b.Ask.String(), b.AskSize.String()})

	var trade Trade
	require.NoError(t, json.Unmarshal([]byte(`{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782137,"m":true,"M":true}`), &trade))
	require.Equal(t, [2]int64{12345, 1672515782137}, [2]int64{trade.ID, trade.At})

	var rows []KlineRow
	require.NoError(t, json.Unmarshal([]byte(`[[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",
		1499644799999,"2434.19055334",308,"1756.87402397","28.46694368","0"]]`), &rows))
	require.Equal(t, [2]int64{1499040000000, 1499644799999}, [2]int64{rows[0].Start, rows[0].End})
	require.Equal(t, "0.015771", rows[0].Close.String())
}

func TestKlineRowsTravel(t *testing.T) {
	k := KlineRow{Start: 1, End: 2, Closed: true}
	data, err := json.Marshal([]KlineRow{k})
	require.NoError(t, err)
	require.Equal(t, `[[1,"0","0","0","0","0",2]]`, string(data))
	var back []KlineRow
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, []KlineRow{k}, back)
}
