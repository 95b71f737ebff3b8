package eventbustest_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
)

// failingTests tells a process that it is to run the tests that fail.
const failingTests = "EVENTBUSTEST_RUN_FAILING_TESTS"

// What package testing makes of failures is seen in a process of its own, whose
// tests are meant to fail.
func TestFailuresOfARealTest(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestThatFails$", "-test.v")
	cmd.Env = append(os.Environ(), failingTests+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 1, exit.ExitCode(), "%s", out)
	for _, want := range []string{
		`--- FAIL: TestThatFails/Expect `,
		`process_test\.go:\d+: eventbustest: Expect: 1 of 1 matcher met no event\n +- 1  want     order_placed\n`,
		`--- FAIL: TestThatFails/Wait `,
		`process_test\.go:\d+: eventbustest: Wait: 0 of 1 event recorded\n`,
		`--- FAIL: TestThatFails/ExpectNone `,
		`process_test\.go:\d+: eventbustest: ExpectNone: not expected, but recorded: 1 event\n`,
		`--- FAIL: TestThatFails/bubble `,
		`process_test\.go:\d+: eventbustest: ExpectInAnyOrder: 1 of 1 matcher met no event within 24h0m0s\n`,
		`--- FAIL: TestThatFails/handler `,
		`eventbus: handler risk failed on order_placed of the order queue: no margin\n +event  order_placed  int 7\n`,
		`--- FAIL: TestThatFails/leftovers `,
		`process_test\.go:\d+: eventbustest: the test left work behind .* 1 on the order queue`,
		`--- FAIL: TestThatFails/option `,
		`process_test\.go:\d+: eventbustest: New: option 0 is nil\n`,
		`--- PASS: TestThatFails/late_log `,
		`level=INFO msg="eventbus: processor started" queue=order\n`,
	} {
		require.Regexp(t, want, string(out))
	}
	require.NotContains(t, string(out), "panic")
	require.NotContains(t, string(out), "the test went on")
}

func TestThatFails(t *testing.T) {
	if os.Getenv(failingTests) == "" {
		t.Skip("run by TestFailuresOfARealTest")
	}
	start := func(t *testing.T, opts ...eventbustest.Option) (*eventbus.Bus, *eventbustest.Recorder) {
		t.Helper()
		bus := eventbustest.New(t, opts...)
		return bus, eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
	}
	t.Run("Expect", func(t *testing.T) {
		_, rec := start(t)
		rec.Within(0).Expect(t, placed)
		t.Log("the test went on")
	})
	t.Run("Wait", func(t *testing.T) {
		_, rec := start(t)
		rec.Within(0).Wait(1)
		t.Log("the test went on")
	})
	t.Run("ExpectNone", func(t *testing.T) {
		bus, rec := start(t)
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
		rec.ExpectNone(t)
		t.Log("the test went on")
	})
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			bus := eventbustest.New(t, eventbustest.WithBus(eventbus.WithPollInterval(time.Hour)))
			rec := eventbustest.NewRecorder(t, bus, eventbus.OrderPlaced)
			rec.Within(24*time.Hour).ExpectInAnyOrder(t, placed)
			t.Log("the test went on")
		})
	})
	t.Run("handler", func(t *testing.T) {
		bus, _ := start(t)
		bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
			return errors.New("no margin")
		}, eventbus.WithName("risk"))
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, 7)
	})
	t.Run("leftovers", func(t *testing.T) {
		bus, _ := start(t)
		bus.Stop()
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
	})
	t.Run("option", func(t *testing.T) {
		start(t, nil)
		t.Log("the test went on")
	})

	// The handler outlives its test, and the bus then has something to log, and an
	// error to report.
	var bus *eventbus.Bus
	leave := make(chan struct{})
	t.Run("late log", func(t *testing.T) {
		bus, _ = start(t, eventbustest.AllowLeftovers(), eventbustest.WithLogLevel(slog.LevelInfo))
		began := make(chan struct{})
		bus.SubscribeFunc(eventbus.OrderPlaced, func(context.Context, eventbus.Event) error {
			close(began)
			<-leave
			return errors.New("too late")
		})
		publish(t, bus, eventbus.OrderQueue, eventbus.OrderPlaced, nil)
		<-began
	})
	close(leave)
	require.NoError(t, bus.Flush(t.Context()))
}
