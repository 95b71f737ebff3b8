#!/usr/bin/env bash
# Checks the model with Spin: ./run.sh quick, or ./run.sh all, which takes longer
# and up to 3 GB. Checks must find no error, refutations of a mutation must.
set -euo pipefail
cd "$(dirname "$0")"
which=${1:-all}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# verify EXPECTED NAME FILE [FLAG...] runs one verification. To compile pan takes
# longer than to run most of it, so it is not optimized. What refutes a mutation is
# looked for in random order.
verify() {
	local want=$1 name=$2 file=$3 dir="$work/$2" result order='' seed=''
	shift 3
	SECONDS=0
	if [ "$want" = refuted ]; then
		order='-DP_RAND -DT_RAND' seed=-RS2
	fi
	mkdir "$dir"
	cp ./*.pml "$dir"
	cd "$dir"
	{
		spin -a "$@" "$file" &&
			${CC:-gcc} -O0 -w -DSAFETY $order -DCOLLAPSE -DVECTORSZ=4096 -DMEMLIM=3000 -o pan pan.c &&
			./pan -m200000 $seed
	} >out 2>&1 || true
	result=$(awk '
		/max search depth too small|out of memory|memory limit|MEMLIM bound/ { print "incomplete"; exit }
		/^State-vector.*errors: 0/ { print "holds" }
		/^State-vector.*errors: [1-9]/ { print "refuted" }' out | head -1)
	printf '%-24s %-10s %4ss %s\n' "$name" "${result:-failed}" $SECONDS "$(awk '/states, stored/ { print $1, "states"; exit }' out)${*:+  $*}"
	if [ "$result" != "$want" ]; then
		sed 's/^/    /' out
		touch "$work/failed"
	fi
	rm -rf "$dir"
}

# start runs a verification beside others, one a core.
start() {
	while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-$(nproc)}" ]; do
		wait -n || touch "$work/failed"
	done
	verify "$@" &
}

check() { start holds "$@"; }
slow() { [ "$which" = quick ] || check "$@"; }
refute() { start refuted "$@"; }

# The cursor.
check stop-start cursor.pml -DCALLS=4
check pause-kill cursor.pml -DPAUSES -DKILLS
slow pause-kill-longer cursor.pml -DPAUSES -DKILLS -DCALLS=4 -DITEMS=3
slow two-queues cursor.pml -DNQ=2 -DITEMS=1 -DCALLS=2 -DPAUSES -DKILLS

# A bus that runs.
slow ring publish.pml
slow own-queue publish.pml -DTO=OWN
slow waits-that-end publish.pml -DLEAVE
slow await publish.pml -DAWAITS=9

# A bus that is flushed, stopped, paused, shut down, killed.
await='-DPAUSES -DAWAITS=1 -DTO=FIRST'
check flush shutdown.pml -DFLUSHES -DEACH1=0
check pause shutdown.pml -DPAUSES -DEACH1=0
check pause-await shutdown.pml $await -DEACH0=0 -DEACH1=1
slow pause-flush shutdown.pml -DPAUSES -DPAUSES_FOR_GOOD -DFLUSHES -DNPUB=1
slow stop-and-start shutdown.pml -DSTOPS -DEACH1=0
slow shutdown shutdown.pml -DSHUTS_DOWN -DNPUB=1 -DEACH0=2
slow kill shutdown.pml -DSHUTS_DOWN -DKILLS -DNPUB=1
slow kill-await shutdown.pml -DSHUTS_DOWN -DKILLS -DNPUB=1 -DAWAITS=0
slow kill-two-buses shutdown.pml -DTWO_BUSES -DSHUTS_DOWN -DKILLS -DNPUB=1

refute LOAD_AND_STORE cursor.pml -DMUT_LOAD_AND_STORE
refute HOLD_FIRST cursor.pml -DMUT_HOLD_FIRST
refute REQUESTS_FIRST cursor.pml -DMUT_REQUESTS_FIRST
refute PAUSED_FIRST cursor.pml -DMUT_PAUSED_FIRST -DPAUSES
refute NO_NUDGE cursor.pml -DMUT_NO_NUDGE
refute BELL_STAYS_RUNG cursor.pml -DMUT_BELL_STAYS_RUNG
refute LEAVE_WITHOUT_LOOK cursor.pml -DMUT_LEAVE_WITHOUT_LOOK
refute HAND_BACK_FROM_AT cursor.pml -DMUT_HAND_BACK_FROM_AT -DKILLS
refute HOLD_ONE cursor.pml -DMUT_HOLD_ONE -DNQ=2
refute WITHDRAW_WITHOUT_CAS shutdown.pml $await -DEACH0=0 -DEACH1=1 -DFINE -DMUT_WITHDRAW_WITHOUT_CAS
refute WITHDRAWN_UNCOUNTED shutdown.pml -DSHUTS_DOWN -DKILLS -DNPUB=1 -DAWAITS=0 -DMUT_WITHDRAWN_UNCOUNTED
refute REFUSED_UNCOUNTED shutdown.pml -DSHUTS_DOWN -DKILLS -DNPUB=1 -DMUT_REFUSED_UNCOUNTED
if [ "$which" != quick ]; then
	full="$await -DEACH0=0 -DEACH1=0 -DNPUB=1"
	refute DEAD_WITHOUT_ADMIT shutdown.pml $full -DTWICE -DFILLED=2 -DCAP1=2 -DMUT_DEAD_WITHOUT_ADMIT
	refute ROOM_TO_NOBODY shutdown.pml $await -DPAUSES_FOR_GOOD -DMUT_ROOM_TO_NOBODY
	refute HAND_BACK_WITHDRAWN shutdown.pml -DSHUTS_DOWN -DKILLS -DNPUB=1 -DAWAITS=0 -DMUT_HAND_BACK_WITHDRAWN
	refute NO_SECOND_LOOK shutdown.pml -DPAUSES -DFLUSHES -DEACH1=0 -DMUT_NO_SECOND_LOOK
	refute PAUSED_IS_HELD shutdown.pml -DPAUSES -DPAUSES_FOR_GOOD -DFLUSHES -DNPUB=1 -DMUT_PAUSED_IS_HELD
	refute GATE_BEFORE_LOCK shutdown.pml -DSHUTS_DOWN -DNPUB=1 -DMUT_GATE_BEFORE_LOCK
	refute ANNOUNCE_LATE shutdown.pml -DSHUTS_DOWN -DNPUB=1 -DMUT_ANNOUNCE_LATE
	refute REFUSE_HANDLERS shutdown.pml -DSHUTS_DOWN -DNPUB=1 -DMUT_REFUSE_HANDLERS
	refute WAITING_FIRST publish.pml -DMUT_WAITING_FIRST -DTO=ANY -DDRIFT=1
	refute NO_LOOK_AGAIN publish.pml -DMUT_NO_LOOK_AGAIN
	refute ALWAYS_WAIT publish.pml -DMUT_ALWAYS_WAIT
	refute IDLE_WITHOUT_ADMIT publish.pml -DMUT_IDLE_WITHOUT_ADMIT
	refute LOW_TOO_HIGH publish.pml -DMUT_LOW_TOO_HIGH
	refute ROOM_FIRST publish.pml -DMUT_ROOM_FIRST
	refute OPEN_DOES_NOT_COUNT publish.pml -DMUT_OPEN_DOES_NOT_COUNT
fi

while [ "$(jobs -rp | wc -l)" -gt 0 ]; do
	wait -n || touch "$work/failed"
done
[ ! -e "$work/failed" ] || { echo 'The model does not do what it should: see above.'; exit 1; }
