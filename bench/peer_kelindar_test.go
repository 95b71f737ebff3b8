package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClosedKelindarHasNoSubscribersLeft(t *testing.T) {
	c, err := openKelindar(handlers(newTallies(3)))
	require.NoError(t, err)
	require.True(t, kelindarListens())
	require.NoError(t, c.close())
	require.False(t, kelindarListens())
}
