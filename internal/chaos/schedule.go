package chaos

import "time"

// A schedule is all that chance decides about a run: how the buses are
// configured, who publishes what, and what the handlers do. The run itself is
// concurrent, so two runs of one schedule need not be the same.
type schedule struct {
	features    feature
	patience    int   // how many ticks without any event pass before the machine helps
	answers     int64 // how many times handlers answer an event at most
	subscribers int   // how many subscriptions there are at most when somebody comes
	buses       []busPlan
	rounds      []round
}

// A busPlan is one bus of a schedule.
type busPlan struct {
	poll, slow time.Duration
	spin       time.Duration // in real time alone: in a bubble no time passes while a processor spins
	mode       mode
	ear        bool // a tap is there from the beginning, first, and hears every event
	layers     int  // of middleware around every handler
	clocked    bool // the bus has a clock of its own
	trouble    trouble
	queues     [3]queuePlan
	retained   [topics]int // the queue whose last event of the topic is kept; -1 if none is
	handlers   []handlerPlan
	last       []publication // just before the Shutdown at the end
	end        control
}

// A mode is who runs the handlers.
type mode uint8

const (
	live    mode = iota // a goroutine a queue
	single              // one goroutine
	stepped             // RunUntilIdle: the bus is never started
)

// A handlerPlan is a handler that is subscribed all the time. In its n-th call
// it does the n-th step of its script, which begins anew at its end.
type handlerPlan struct {
	shape
	script []step
}

type step struct {
	do      action
	publish publication // for those that publish
	control control     // for those that make another call
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
	doPublishSlowly     // twice, each after a pause
	doPublishAsStranger // with a context that is not the handler's, and a deadline
	doPublishLater      // on a goroutine that may outlive the handler, with the handler's context
	doPublishStorm      // many, until one is refused
	doReturnWait        // PublishWait, and return its error
	doSubscribe
	doUnsubscribe
	doControl // a call of any bus
)

// actions holds each action as often as it is to be likely.
var actions = []action{
	doNothing, doNothing, doNothing, doNothing, doNothing,
	doPublish, doPublish, doPublish, doPublish, doPublish, doPublish, doPublishTwice, doPublishTwice,
	doPublishSlowly, doPublishSlowly, doPublishSlowly, doPublishAsStranger, doPublishLater, doReturnWait,
	doFail, doFail, doPanic, doPanicNil, doExit, doSleep, doSleep,
	doSubscribe, doSubscribe, doUnsubscribe, doControl, doControl, doControl, doControl, doControl,
}

func (a action) publishes() bool { return a >= doPublish && a <= doReturnWait }

// A round is what goes on at the same time. After it the accounts are compared.
type round struct {
	publishers  [][]publication
	controllers [][]control
}

// A control is a call of a bus that publishes nothing.
type control struct {
	call  call
	bus   int
	shape shape         // of whom it subscribes
	queue int           // that it pauses or resumes
	limit time.Duration // as in publication
	pause time.Duration // before it
}

type call uint8

const (
	callStart call = iota
	callStop
	callRestart // end the context of the last Start, and start at once
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
	callStart, callStart, callStart, callStop, callStop, callRestart, callFlush, callFlush, callStats,
	callSubscribe, callSubscribe, callSubscribe, callUnsubscribe, callUnsubscribe,
	callPause, callResume, callStep,
}

// handlerCalls is calls for handlers.
var handlerCalls = []call{callStop, callStart, callRestart, callFlush, callFlush, callStep, callStep, callPause, callPause, callResume, callResume}

// topics is how many event types there are. Nobody but taps is subscribed to the
// last one all the time, nor to others if chance wills it.
const topics = 4

// maxBuses is how many buses there are at most.
const maxBuses = 3
