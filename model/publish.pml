/*
 * A bus that runs: publishers from outside, and handlers that publish to their
 * own queue and to each other's. When nothing moves any more, everybody must
 * be done and nothing may be left.
 */
#include "admission.pml"
#include "processor.pml"

#ifndef EACH0
#define EACH0 2			/* how many events the first publisher publishes */
#endif
#ifndef EACH1
#define EACH1 2			/* and each of the others */
#endif
#define EACH(j)	((j) == 0 -> EACH0 : EACH1)

/* Where publisher j publishes its event k. */
#ifdef ALL_TO_ONE
#define TARGET(j, k)	0
#else
#ifdef BY_TURNS
#define TARGET(j, k)	(((j) + (k)) % NP)
#else
#define TARGET(j, k)	((j) % NP)
#endif
#endif

byte finished;

proctype publisher(byte j) {
	LOCALS;
	byte k, mine;
	do
	:: k < EACH(j) ->
		mine = EV(NP + j, j * EACH0 + k, 0);
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
		assert(none(ch[k]) && none(open[k]));
		assert(lineEmpty(k));
		assert(edge[k] == NONE);
		assert(gate[k] == 0);
		assert(dead[k] == 0);
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
	byte k, mine, origin = EACH0 + (NPUB - 1) * EACH1;
	atomic {
		ch[0] = ch0; ch[1] = ch1;
#if NP > 2
		ch[2] = ch2;
#endif
#ifdef FILLED
		/* published by the first publisher before the bus was started */
		for (k : 0 .. FILLED - 1) {
			do
			:: len(ch[k]) < CAP(k) ->
				mine = EV(NP, origin, 0);
				ghostPublish(k, mine);
				push(k, mine);
				origin++
			:: else -> break
			od
		}
		mine = 0; origin = 0;
#endif
		for (k : 0 .. NP - 1) { run processor(k) }
		for (k : 0 .. NPUB - 1) { run publisher(k) }
	}
	timeout -> d_step { nothingIsLeft() }
}
