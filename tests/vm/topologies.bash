# topologies.bash - the machines that tests/vm/machine can build, as arguments of QEMU; sourced.
#
#   asym2    2 nodes of 2 CPUs, 1024 MiB each, distances 0->1 20, 1->0 30
#   ring4    4 nodes of 1 CPU, 768 MiB each, distances 10, 20 and across the ring 30
#   hmat     2 nodes of 1 CPU, 768 MiB each, and node 2 of 1024 MiB without CPUs, with HMAT:
#            80 to 320 ns, 40 to 200 GB/s
#   tiny     1 node of 1 CPU, 256 MiB
#   hotplug  2 nodes of 1 CPU, 768 MiB each, and node 2 of 512 MiB, movable: it can go offline
#   giant    2 nodes of 1 CPU, 6144 MiB each, with 1 and 2 pages of 1 GiB: for large blocks
#
# topology_of NAME sets machine, memory_options, qemu (an array), nodes_count, cpus_count, ram_mib
# and append. mib_per_node, where not empty, replaces the sizes above. topology_names has them all,
# those first whose tests take longest: no CPU is then left alone for long at the end.
# Variables are the sourcing script's, commas belong to options of QEMU:
# shellcheck shell=bash disable=SC2034,SC2054

topology_names=(ring4 hmat asym2 hotplug giant tiny)

# node MIB CPUS [initiator=N]: one more node.
node() {
    local mib=${mib_per_node:-$1} cpus=
    if (($2 > 0)); then cpus=",cpus=$cpus_count-$((cpus_count + $2 - 1))"; fi
    qemu+=(-object "memory-backend-ram,id=m$nodes_count,size=${mib}M"
        -numa "node,nodeid=$nodes_count,memdev=m$nodes_count$cpus${3:+,$3}")
    nodes_count=$((nodes_count + 1))
    cpus_count=$((cpus_count + $2))
    ram_mib=$((ram_mib + mib))
}

# distances FROM,TO,VALUE...
distances() {
    local entry from to value
    for entry; do
        IFS=, read -r from to value <<<"$entry"
        qemu+=(-numa "dist,src=$from,dst=$to,val=$value")
    done
}

# hmat FROM,TO,NANOSECONDS,MIB_PER_SECOND...
hmat() {
    local entry from to latency bandwidth start
    for entry; do
        IFS=, read -r from to latency bandwidth <<<"$entry"
        start="hmat-lb,initiator=$from,target=$to,hierarchy=memory,data-type=access"
        qemu+=(-numa "$start-latency,latency=$latency"
            -numa "$start-bandwidth,bandwidth=${bandwidth}M")
    done
}

topology_of() {
    machine=q35 memory_options='' append='' qemu=() nodes_count=0 cpus_count=0 ram_mib=0
    case $1 in
    asym2)
        node 1024 2
        node 1024 2
        distances 0,1,20 1,0,30
        ;;
    ring4)
        for _ in 0 1 2 3; do node 768 1; done
        distances 0,1,20 1,2,20 2,3,20 0,3,20 0,2,30 1,3,30
        ;;
    hmat)
        machine+=,hmat=on
        node 768 1 initiator=0
        node 768 1 initiator=1
        node 1024 0 initiator=0
        distances 0,1,21 0,2,24 1,2,34
        hmat 0,0,80,204800 0,1,140,102400 0,2,250,51200 \
            1,0,140,102400 1,1,80,204800 1,2,320,40960
        ;;
    tiny)
        node 256 1
        ;;
    hotplug)
        node 768 1
        node 768 1
        memory_options=,slots=1,maxmem=8G
        append=' movable_node'
        qemu+=(-numa node,nodeid=2 -object memory-backend-ram,id=dimm,size=512M
            -device pc-dimm,memdev=dimm,node=2)
        distances 0,1,20 0,2,24 1,2,34
        ;;
    giant)
        node 6144 1
        node 6144 1
        append=' hugepagesz=1G hugepages=0:1,1:2'
        ;;
    *)
        return 1
        ;;
    esac
}
