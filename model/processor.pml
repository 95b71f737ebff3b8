/*
 * The processor: processor.go, serve and what it calls. There is no poll, so
 * a wake-up that is lost is lost for good and shows as an end with something
 * left.
 *
 * A handler publishes one event for each that it gets, until HOPS handlers
 * have passed it on.
 */

#ifndef HOPS
#define HOPS 1
#endif

#define OWN	0		/* where a handler publishes */
#define NEXT	1
#define ANY	2
#define FIRST	3
#ifndef TO
#define TO	NEXT
#endif

inline chooseTarget(p) {
#if TO == OWN
	to = p
#elif TO == NEXT
	to = (p + 1) % NP
#elif TO == FIRST
	to = 0
#else
	if
	:: to = p
	:: to = (p + 1) % NP
	fi
#endif
}

proctype processor(byte p) {
	LOCALS;
	byte cur, to, mine;
#ifdef MUT_IDLE_WITHOUT_ADMIT
	bool idled;
#endif
#ifdef LIFE
	byte a;

off:	/* processor.startLocked: go p.main() */
end_off:
	atomic { spawned[p] -> spawned[p] = false }

serve:	/* processor.attend, with goAway and Bus.renew */
#ifdef OBSERVED
	mark[p] = AWAY;
	changed();
#endif
#ifdef STOPS
	if
	:: attention[p] & RENEWED -> lock(mu); attention[p] = attention[p] & ~RENEWED; unlock(mu)
	:: else
	fi;
#endif
#ifdef OBSERVED
	mark[p] = TAKING;
#endif
	a = attention[p];
	atomic {
		if
		:: a & STOPPED -> a = 0; goto leave
		:: else -> a = 0
		fi;
		!DROPS_OLDEST(p) || muFree(p);
		if		/* queue.hasEvents */
		:: some(open[p]) || some(ch[p]) -> goto next
		:: none(open[p]) && none(ch[p])
		fi
	};
#endif

idle:	/* processor.idle */
end_idle:
	if
	:: atomic { !DROPS_OLDEST(p) && some(ch[p]) -> takeChunk(p); received[p] = true };
		/* processor.take: queue.openChunk */
		atomic { muFree(p) -> openChunk(p); received[p] = false }
#ifdef DROP_OLDEST
	:: atomic { DROPS_OLDEST(p) && some(bell) -> bell?_ };
#ifdef LIFE
		goto serve
#endif
#endif
#ifdef LIFE
	:: wake[p]?_ -> goto serve
#endif
	fi;
#ifdef MUT_IDLE_WITHOUT_ADMIT
	idled = true;
#endif

next:	/* processor.next, from one event to the next in processor.run */
#ifdef LIMIT
	if
	:: true -> goto ran	/* runLimit events have been taken */
	:: true
	fi;
#endif
#ifdef DROP_OLDEST
	if
	:: DROPS_OLDEST(p) -> goto nextLocked
	:: else
	fi;
#endif
	if
	:: some(open[p])
	:: none(open[p]) ->
#ifdef MUT_LOOK_FIRST
		if
		:: attention[p] != 0 -> goto ran
		:: attention[p] == 0
		fi;
#endif
		atomic {				/* queue.openNext */
			muFree(p);
			if
			:: none(ch[p]) -> goto ran
			:: some(ch[p]) -> takeChunk(p); openChunk(p)
			fi
		}
	fi;
#if defined(LIFE) && !defined(MUT_LOOK_FIRST)
	if
	:: attention[p] != 0 -> goto ran	/* processor.told */
	:: attention[p] == 0
	fi;
#endif
#ifdef MUT_NOT_SEALED
	/* Others write to the open chunk, so queue.shift is two steps: it looks
	 * whether the chunk is empty, and setAside clears it. */
	if
	:: len(open[p]) > 1
	:: len(open[p]) == 1 ->
		d_step {
			do
			:: len(open[p]) > 1 -> open[p]?g; open[p]?_; open[p]!g
			:: else -> break
			od;
			takesMore[p] = 0; g = 0
		}
	fi;
#endif

begin:	/* queue.shift, which nobody else can see, and the position */
	atomic {
		if
		:: !DROPS_OLDEST(p) -> open[p]?cur; ghostOut(p, cur)
		:: else
		fi;
#ifdef OBSERVED
		mark[p] = CALLING; begun[p]++;
#endif
		if
		:: toHalf[p] > 0 -> toHalf[p]--
		:: else
		fi;
		if
		:: since[p] > 0 -> since[p]++
		:: else
		fi;
#ifdef LIFE
		assert(!returned);
#ifdef STOPS
		assert(!(stopReturned && GEN(cur) == 0 && afterStop[ORIGIN(cur)]));
#endif
#endif
	};
#ifdef MUT_IDLE_WITHOUT_ADMIT
	if
	:: idled -> idled = false
	:: else -> admit(p)
	fi;
#else
	admit(p);
#endif
	/* the handler: processor.dispatch */
	if
	:: GEN(cur) < HOPS ->
		chooseTarget(p);
		mine = EV(p, ORIGIN(cur), GEN(cur) + 1);
		publish(to, mine, p);
		assert(res == ACCEPTED || res == GONE || res == REFUSED && endBegun);
		to = 0; mine = 0; res = 0
	:: else
#ifdef HANDLER_HANGS
	:: true ->
end_hung:	false
#endif
	fi;
#ifdef OBSERVED
	d_step {
		mark[p] = TAKING;
#ifdef FLUSHES
		undone[ORIGIN(cur)]--;
#endif
		cur = 0
	};
#else
	cur = 0;
#endif
	goto next;

#ifdef DROP_OLDEST
nextLocked:	/* processor.nextLocked */
	atomic {
		muFree(p);
		if
		:: none(open[p]) && some(ch[p]) -> takeChunk(p); openChunk(p)
		:: none(open[p]) && none(ch[p]) -> goto ran
		:: some(open[p])
		fi;
#ifdef LIFE
		if
		:: attention[p] != 0 -> goto ran
		:: else
		fi;
#endif
		open[p]?cur;
		ghostOut(p, cur)
	};
	goto begin;
#endif

ran:
#ifdef OBSERVED
	changed();
#endif
#ifdef LIFE
	goto serve;

leave:	/* processor.leave: say, and Bus.release */
#ifdef OBSERVED
	mark[p] = AWAY;
	changed();
#endif
#ifdef LOGGER_HANGS
	if
	:: true
	:: true ->
end_logging:	false
	fi;
#endif
	lock(mu);
	if
#ifdef MUT_LEAVE_WITHOUT_LOOK
	:: true -> alive[p] = false; changed(); unlock(mu); goto off
#else
	:: attention[p] & STOPPED -> alive[p] = false; changed(); unlock(mu); goto off
	:: else -> unlock(mu); goto serve
#endif
	fi
#else
	goto end_idle
#endif
}
