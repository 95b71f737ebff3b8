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
	printf '%-24s %-10s %s\n' "$name" "${result:-failed}" "$(awk '/states, stored/ { print $1, "states"; exit }' out)${*:+  $*}"
	if [ "$result" != "$want" ]; then
		sed 's/^/    /' out
		touch "$work/failed"
	fi
	rm -rf "$dir"
}

# start runs a verification beside others, one a core.
start() {
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
		wait -n || touch "$work/failed"
	done
	verify "$@" &
}

check() { start holds "$@"; }
slow() { [ "$which" = quick ] || check "$@"; }
refute() { start refuted "$@"; }

check ring publish.pml
check own-queue publish.pml -DTO=OWN
slow any-queue publish.pml -DTO=ANY
slow capacity-2 publish.pml -DCAP0=2 -DCAP1=2 -DTO=ANY
slow one-target publish.pml -DALL_TO_ONE -DTO=ANY
slow waits-that-end publish.pml -DLEAVE
slow tries publish.pml -DTRY -DTO=ANY
check drop-oldest publish.pml -DDROP_OLDEST -DTO=ANY
slow accept-in-steps publish.pml -DACCEPT_IN_STEPS
slow three-processors publish.pml -DNP=3 -DNPUB=1 -DFILLED=3 -DFLIGHT=8 -DHOPS=2 -DEACH0=1
slow two-hops publish.pml -DHOPS=2
slow capacity-2-longer publish.pml -DCAP0=2 -DCAP1=2 -DEACH0=3 -DEACH1=3
slow in-turns publish.pml -DBY_TURNS -DTO=ANY

check flush shutdown.pml -DFLUSHES
slow shutdown shutdown.pml -DSHUTS_DOWN
slow kill-switch shutdown.pml -DSHUTS_DOWN -DKILLS -DEACH1=0
slow stop-and-start shutdown.pml -DSTOPS
slow shutdown-any-queue shutdown.pml -DSHUTS_DOWN -DTO=ANY

# More of what can happen to a chunk, with one publisher and one queue.
one='-DALL_TO_ONE -DEACH0=2 -DEACH1=0 -DHOPS=0'
alone="$one -DSERVED=1"
check stop-chunk shutdown.pml -DSTOPS $one -DCAP0=2 -DLIMIT
slow stop-evict shutdown.pml -DSTOPS $one -DDROP_OLDEST
check stop-shutdown shutdown.pml -DSTOPS -DSTOPS_FOR_GOOD -DSHUTS_DOWN $alone -DCAP0=2 -DLIMIT
check kill-hung shutdown.pml -DSHUTS_DOWN -DKILLS $alone -DCAP0=2 -DHANDLER_HANGS -DLOGGER_HANGS
slow kill-chunk shutdown.pml -DSHUTS_DOWN -DKILLS $alone -DCAP0=2 -DFILLED=1
slow kill-evict shutdown.pml -DSHUTS_DOWN -DKILLS $alone -DCAP0=2 -DFILLED=1 -DDROP_OLDEST

refute NO_LOOK_AGAIN publish.pml -DMUT_NO_LOOK_AGAIN
refute WAKE_ONLY publish.pml -DMUT_WAKE_ONLY -DHOPS=2 -DFILLED=2 -DFLIGHT=8
refute BARGE publish.pml -DMUT_BARGE -DHOPS=2 -DFILLED=2 -DFLIGHT=8
refute EDGE_LATE publish.pml -DMUT_EDGE_LATE -DHOPS=2 -DFILLED=2 -DFLIGHT=8
refute PARK_ALWAYS publish.pml -DMUT_PARK_ALWAYS
refute PARKED_FIRST publish.pml -DMUT_PARKED_FIRST -DTO=ANY
refute BOUND_THE_LIST shutdown.pml -DSTOPS -DMUT_BOUND_THE_LIST -DTO=FIRST -DFILLED=2 -DEACH1=0
refute IDLE_WITHOUT_ADMIT publish.pml -DMUT_IDLE_WITHOUT_ADMIT
refute HALF_TOO_HIGH publish.pml -DMUT_HALF_TOO_HIGH
refute ROOM_FIRST publish.pml -DMUT_ROOM_FIRST
refute OPEN_DOES_NOT_COUNT publish.pml -DMUT_OPEN_DOES_NOT_COUNT
refute NOT_SEALED publish.pml -DMUT_NOT_SEALED -DCAP0=2 -DCAP1=2 -DTO=ANY
refute NO_BELL publish.pml -DMUT_NO_BELL -DDROP_OLDEST -DTO=ANY
refute LOOK_FIRST shutdown.pml -DSTOPS -DMUT_LOOK_FIRST $one
refute STATE_BEFORE_MU shutdown.pml -DSHUTS_DOWN -DMUT_STATE_BEFORE_MU
refute LEAVE_WITHOUT_LOOK shutdown.pml -DSTOPS -DMUT_LEAVE_WITHOUT_LOOK
refute ANNOUNCE_LATE shutdown.pml -DSHUTS_DOWN -DMUT_ANNOUNCE_LATE
refute REFUSE_HANDLERS shutdown.pml -DSHUTS_DOWN -DMUT_REFUSE_HANDLERS

while [ "$(jobs -rp | wc -l)" -gt 0 ]; do
	wait -n || touch "$work/failed"
done
[ ! -e "$work/failed" ] || { echo 'The model does not do what it should: see above.'; exit 1; }
