#!/usr/bin/env bash
# Checks the model with Spin: ./run.sh quick, or ./run.sh all, which takes longer
# and up to 3 GB. Checks must find no error, refutations of a mutation must.
set -euo pipefail
cd "$(dirname "$0")"
which=${1:-all}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# verify EXPECTED NAME FILE [FLAG...] runs one verification.
verify() {
	local want=$1 name=$2 file=$3 dir="$work/$2" result
	shift 3
	mkdir "$dir"
	cp ./*.pml "$dir"
	cd "$dir"
	{
		spin -a "$@" "$file" &&
			${CC:-gcc} -O2 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=4096 -DMEMLIM=3000 -o pan pan.c &&
			./pan -m200000
	} >out 2>&1 || true
	result=$(awk '
		/max search depth too small|out of memory|memory limit/ { print "incomplete"; exit }
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
check capacity-2 publish.pml -DCAP0=2 -DCAP1=2 -DTO=ANY
check one-target publish.pml -DALL_TO_ONE -DTO=ANY
slow waits-that-end publish.pml -DLEAVE
check tries publish.pml -DTRY -DTO=ANY
check drop-oldest publish.pml -DDROP_OLDEST -DTO=ANY
check three-processors publish.pml -DNP=3 -DNPUB=1 -DFULL_AT_START -DFLIGHT=8 -DHOPS=2 -DEACH0=1
slow two-hops publish.pml -DHOPS=2
slow capacity-2-longer publish.pml -DCAP0=2 -DCAP1=2 -DEACH0=3 -DEACH1=3
slow in-turns publish.pml -DBY_TURNS -DTO=ANY

check flush shutdown.pml -DFLUSHES
check shutdown shutdown.pml -DSHUTS_DOWN
slow kill-switch shutdown.pml -DSHUTS_DOWN -DKILLS -DEACH1=0
slow stop-and-start shutdown.pml -DSTOPS
slow shutdown-any-queue shutdown.pml -DSHUTS_DOWN -DTO=ANY

refute NO_LOOK_AGAIN publish.pml -DMUT_NO_LOOK_AGAIN
refute WAKE_ONLY publish.pml -DMUT_WAKE_ONLY -DHOPS=2 -DFULL_AT_START -DFLIGHT=8
refute BARGE publish.pml -DMUT_BARGE -DHOPS=2 -DFULL_AT_START -DFLIGHT=8
refute EDGE_LATE publish.pml -DMUT_EDGE_LATE -DHOPS=2 -DFULL_AT_START -DFLIGHT=8
refute PARK_ALWAYS publish.pml -DMUT_PARK_ALWAYS
refute PARKED_FIRST publish.pml -DMUT_PARKED_FIRST -DTO=ANY
refute BOUND_THE_LIST publish.pml -DMUT_BOUND_THE_LIST -DTO=ANY
refute IDLE_WITHOUT_ADMIT publish.pml -DMUT_IDLE_WITHOUT_ADMIT
refute LEAVE_WITHOUT_LOOK shutdown.pml -DSTOPS -DMUT_LEAVE_WITHOUT_LOOK
refute ANNOUNCE_LATE shutdown.pml -DSHUTS_DOWN -DMUT_ANNOUNCE_LATE
refute COUNT_LATE shutdown.pml -DSHUTS_DOWN -DMUT_COUNT_LATE
refute REFUSE_HANDLERS shutdown.pml -DSHUTS_DOWN -DMUT_REFUSE_HANDLERS

while [ "$(jobs -rp | wc -l)" -gt 0 ]; do
	wait -n || touch "$work/failed"
done
[ ! -e "$work/failed" ] || { echo 'The model does not do what it should: see above.'; exit 1; }
