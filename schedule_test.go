package eventbus_test

import "time"

// A schedule is all that chance decides about a run of the property test: how
// the bus is configured, who publishes what, and what the handlers do. The run
// itself is concurrent, so two runs of one schedule need not be the same.
type schedule struct {
	poll, slow time.Duration
	spin       time.Duration // in real time alone: in a bubble no time passes while a processor spins
	mode       mode
	ear        bool // a tap is there from the beginning, first, and hears every event
	layers     int  // of middleware around every handler
	trouble    trouble
	queues     [3]queuePlan
	retained   [topics]int // the queue whose last event of the topic is kept; -1 if none is
	handlers   []handlerPlan
	rounds     []round
	end        control // the Shutdown at the end, if there was none before
}

// A mode is who runs the handlers.
type mode uint8

const (
	live    mode = iota // a goroutine a queue
	single              // one goroutine
	stepped             // RunUntilIdle: the bus is never started
)

// Trouble is how the logger and the error handler fail: at every n-th call, if
// n is not 0.
type trouble struct {
	n     int64
	exits bool // they call runtime.Goexit and do not panic
	debug bool // DEBUG is on
}

// A handlerPlan is a handler that is subscribed all the time. In its n-th call
// it does the n-th step of its script, which begins anew at its end.
type handlerPlan struct {
	shape
	script []step
}

type step struct {
	do      action
	publish publication // for those that publish
	shape   shape       // of whom it subscribes
	pause   time.Duration
}

type action uint8

const (
	doNothing action = iota
	doFail
	doPanic
	doPanicNil
	doExit
	doSleep
	doPublish
	doPublishTwice
	doPublishAsStranger // with a context that is not the handler's, and a deadline
	doSubscribe
	doUnsubscribe
	doStop
	doStart
	doFlush
	doStep
	doPause
	doResume
	doShutdown
)

// actions holds each action as often as it is to be likely.
var actions = []action{
	doNothing, doNothing, doNothing, doNothing, doNothing,
	doPublish, doPublish, doPublish, doPublish, doPublish, doPublish, doPublishTwice, doPublishTwice, doPublishAsStranger,
	doFail, doFail, doPanic, doPanicNil, doExit, doSleep, doSleep,
	doSubscribe, doUnsubscribe, doStop, doStart, doFlush, doStep, doPause, doResume,
}

func (a action) publishes() bool { return a >= doPublish && a <= doPublishAsStranger }

// A round is what goes on at the same time. After it the accounts are compared.
type round struct {
	publishers  [][]publication
	controllers [][]control
}

// A control is a call of the bus that publishes nothing.
type control struct {
	call  call
	shape shape         // of whom it subscribes
	queue int           // that it pauses or resumes
	limit time.Duration // as in publication
	pause time.Duration // before it
}

type call uint8

const (
	callStart call = iota
	callStop
	callFlush
	callStats
	callSubscribe
	callUnsubscribe
	callPause
	callResume
	callStep
	callShutdown
)

// calls holds each call as often as it is to be likely.
var calls = []call{
	callStart, callStart, callStart, callStop, callStop, callFlush, callFlush, callStats,
	callSubscribe, callSubscribe, callSubscribe, callUnsubscribe, callUnsubscribe,
	callPause, callResume, callStep,
}

// topics is how many event types there are. Nobody but taps is subscribed to the
// last one all the time, nor to others if chance wills it.
const topics = 4
