/*
 * A bus that runs: publishers from outside, and handlers that publish to their
 * own queue and to each other's. When nothing moves any more, everybody must
 * be done and nothing may be left.
 */
#define MAXDEFERRED (MAXCAP + NPUB + 1)
#include "line.pml"
#include "processor.pml"

#ifndef EACH
#define EACH 2			/* events a publisher */
#endif
/* Where publisher j publishes its event k. */
#ifndef TARGET
#define TARGET(j, k)	((j) % NP)
#endif

byte finished;

proctype publisher(byte j) {
	LOCALS;
	byte k, mine;
	do
	:: k < EACH ->
		mine = EV(NP + j, j * EACH + k, 0);
		publish(TARGET(j, k), mine, NP + j);
		mine = 0; res = 0;
		k++
	:: else -> break
	od;
	finished++
}

inline nothingIsLeft() {
	assert(finished == NPUB);
	k = 0;
	do
	:: k < NP ->
		assert(none(ch[k]));
		assert(lineEmpty(k));
		assert(parkedOn[k] == NONE);
		assert(state[k] == 0);
		k++
	:: else -> break
	od;
	k = 0;
	do
	:: k < NW * NP -> assert(none(flight[k])); k++
	:: else -> break
	od
}

init {
	byte k;
	atomic {
		ch[0] = ch0; ch[1] = ch1;
#if NP > 2
		ch[2] = ch2;
#endif
		for (k : 0 .. NP - 1) { run processor(k) }
		for (k : 0 .. NPUB - 1) { run publisher(k) }
	}
	d_step { timeout -> nothingIsLeft() }
}
