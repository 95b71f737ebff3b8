/*
 * The processor: processor_loop.go, processor_turn.go and internal/buffer/consumer.go.
 * There is no poll, so a wake-up that is lost is lost for good and shows as an end
 * with something left. Here one of these steps is an atomic one more often than in
 * cursor.pml, which shows that none of the order that is lost with that matters.
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

/* nowBegun: what begins with the swap. The flight of an awaited event ends with its
 * completion's. */
inline nowBegun(p) {
#ifdef OBSERVED
	busy[p] = true; nBegun[p]++; buriedLast[p] = false;
#endif
	if
	:: toLow[p] > 0 -> toLow[p]--
	:: else
	fi;
	if
	:: since[p] > 0 -> since[p]++
	:: else
	fi;
#ifdef LIFE
	assert(!returned || BUS(p) != 0);
#ifdef STOPS
	assert(!stopReturned || BUS(p) != 0);
#endif
#ifdef PAUSES
	assert(!(p == 0 && (pauseReturned || saidPaused)));
#endif
#endif
#ifdef AWAITS
	if
	:: awaits(WHO(cur)) && isOver(compOf(cur)) -> dead[p]--
	:: else
	fi;
	if
	:: awaits(WHO(cur))
	:: else -> ghostOut(p, cur)
	fi
#else
	ghostOut(p, cur)
#endif
}

proctype processor(byte p) {
	LOCALS;
	byte cur, to, mine;
#ifdef MUT_IDLE_WITHOUT_ADMIT
	bool idled;
#endif
#ifdef LIFE
	bool isOpen;

off:	/* processor.startLocked: go p.main() */
end_off:
	atomic { spawned[p] -> spawned[p] = false }

serve:	/* processor.loop: serveRequests, and pick */
	held[p] = false;
#ifdef STOPS
	if
	:: requests[p] & SESSION -> lock(mu); requests[p] = requests[p] & ~SESSION; unlock(mu)
	:: else
	fi;
#endif
	isOpen = !paused[p];
	atomic {
		if
		:: requests[p] & STOP -> goto leave
		:: else
		fi;
		!DROPS_OLDEST(p) || muFree(p);
		if		/* Buffer.Ready */
		:: isOpen && (some(open[p]) || some(ch[p])) -> goto next
		:: !isOpen || none(open[p]) && none(ch[p])
		fi
	};
#else
#define isOpen true
#endif

idle:	/* processor.idle */
end_idle:
	if
	:: atomic { isOpen && !DROPS_OLDEST(p) && some(ch[p]) -> takeChunk(p); received[p] = true }	/* Buffer.Take */
#ifdef DROP_OLDEST
	:: atomic { isOpen && DROPS_OLDEST(p) && some(bell) -> bell?_ }
#endif
#ifdef LIFE
	:: wake[p]?_
#endif
	fi;
#ifdef MUT_IDLE_WITHOUT_ADMIT
	idled = true;
#endif
#ifdef LIFE
	goto serve;
#endif

next:	/* Buffer.Begin, from one event to the next in processor.run */
#ifdef LIMIT
	if
	:: true -> goto ended	/* runLimit events have been begun */
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
	:: some(open[p]) && !received[p]
	:: received[p] ->
		atomic {				/* Buffer.openNext */
			muFree(p) -> openChunk(p); received[p] = false;
			if
			:: none(open[p]) -> goto ended	/* Shutdown has unloaded it */
			:: some(open[p])
			fi
		}
	:: none(open[p]) && !received[p] ->
		atomic {				/* likewise */
			muFree(p);
			if
			:: none(ch[p]) -> goto ended
			:: some(ch[p]) -> takeChunk(p); openChunk(p)
			fi
		}
	fi;
#ifdef MUT_NOT_SEALED
	/* Others write to the open chunk, so Buffer.shift is two steps: it looks
	 * whether the chunk is empty, and clears it. */
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
	atomic {			/* Cursor.begin, and Buffer.shift, which nobody else can see */
#ifdef LIFE
		if
		:: held[p] -> goto ended
		:: else
		fi;
#endif
		open[p]?cur; nowBegun(p)
	};

entry:	/* processor.openEntry */
#ifdef AWAITS
	if
	:: awaits(WHO(cur)) ->
		atomic {				/* completion.begin */
			if
			:: isOver(compOf(cur)) ->	/* queue.bury */
#ifdef OBSERVED
				buried[p]++; buriedLast[p] = true;
#endif
				cur = 0;
#ifdef MUT_DEAD_WITHOUT_ADMIT
				goto next
#endif
			:: else -> compOf(cur) = begun; ghostOut(p, cur)
			fi
		}
	:: else
	fi;
#endif
#ifdef MUT_IDLE_WITHOUT_ADMIT
	if
	:: idled -> idled = false
	:: else -> admit(p)
	fi;
#else
	admit(p);
#endif
#ifdef AWAITS
	if
	:: cur == 0 -> goto next
	:: else
	fi;
#endif
	/* the handler: processor.dispatch */
	if
	:: GEN(cur) < HOPS ->
		chooseTarget(p);
		mine = EV(p, ORIGIN(cur), GEN(cur) + 1);
		publish(to, mine, p);
		assert(res == ACCEPTED || res == GONE || res == REFUSED && endBegun || res == NOWAIT && awaits(p));
		to = 0; mine = 0; res = 0
	:: else
#ifdef HANDLER_HANGS
	:: true ->
end_hung:	false
#endif
	fi;
#ifdef AWAITS
	if
	:: awaits(WHO(cur)) ->				/* processor.complete */
#ifdef OBSERVED
		busy[p] = false;
#endif
		compOf(cur) = handled
	:: else
	fi;
#endif
	d_step {
#ifdef FLUSHES
		undone[ORIGIN(cur)]--;
#endif
		cur = 0
	};
	goto next;

#ifdef DROP_OLDEST
nextLocked:	/* Buffer.beginLocked */
	atomic {
		muFree(p);
		if
		:: none(open[p]) && some(ch[p]) -> takeChunk(p); openChunk(p)
		:: none(open[p]) && none(ch[p]) -> goto ended
		:: some(open[p])
		fi;
#ifdef LIFE
		if
		:: held[p] -> goto ended
		:: else
		fi;
#endif
		open[p]?cur;
		nowBegun(p)
	};
	goto entry;
#endif

ended:	/* processor.endRun */
#ifdef OBSERVED
	busy[p] = false;
	changed();
#endif
#ifdef LIFE
	goto serve;

leave:	/* processor.leave, and Bus.release */
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
	:: requests[p] & STOP -> alive[p] = false; changed(); unlock(mu); goto off
	:: else -> unlock(mu); goto serve
#endif
	fi
#else
	goto end_idle
#endif
}
