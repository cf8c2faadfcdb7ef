//! The data plane by itself: commands as the cores would give them, without cores.

use super::Engine;
use crate::clock::SEC;
use crate::event::Event;
use crate::net::Net;
use crate::node::Process;
use crate::trace::Trace;
use crate::world::World;
use hf_node::rfs::RfsActor;
use hf_replica::engine::{EngineCommand, Gate};
use hf_types::Epoch;

const E: Epoch = Epoch(3);

/// Two nodes with a data plane each, whose cores say nothing (their inputs go to a process that is not there).
fn world(seed: u64) -> World {
    let mut world = World::new(seed, Trace::new(false, false), None);
    for node in 0..2 {
        world.power_on(node);
        world.nodes[node].engine = Some(Engine::new(7));
        world.engine_command(node, EngineCommand::Mount);
    }
    world.nodes[0].vip_until = Some(u64::MAX);
    world.nodes[0].application = true;
    world.schedule(0, Event::Client);
    world
}

fn connected(seed: u64) -> World {
    let mut world = world(seed);
    world.engine_command(1, EngineCommand::SetGate(Gate::ReadOnly));
    world.engine_command(1, EngineCommand::Listen);
    world.engine_command(0, EngineCommand::SetGate(Gate::Alone { epoch: E }));
    world.engine_command(0, EngineCommand::Connect);
    run(&mut world);
    world.engine_command(0, EngineCommand::SetGate(Gate::Syncing { epoch: E }));
    world.engine_command(0, EngineCommand::StartSync(hf_types::SyncWish::default()));
    run(&mut world);
    world.engine_command(0, EngineCommand::SetGate(Gate::InStep { epoch: E }));
    run(&mut world);
    world
}

fn run(world: &mut World) {
    let until = world.now + 5 * SEC;
    world.run_until(until);
    assert_eq!(world.violation, None);
}

fn acked(world: &World) -> u64 {
    world.stats.acked
}

#[test]
fn alone_needs_nobody_and_closed_acknowledges_nothing() {
    let mut world = world(1);
    run(&mut world);
    assert_eq!(acked(&world), 0, "the gate begins closed");
    world.engine_command(0, EngineCommand::SetGate(Gate::Alone { epoch: E }));
    run(&mut world);
    assert!(acked(&world) > 5);
    world.engine_command(0, EngineCommand::SetGate(Gate::Closed));
    let before = acked(&world);
    run(&mut world);
    assert_eq!(acked(&world), before);
}

#[test]
fn in_step_waits_for_the_other_copy() {
    for seed in 1..20 {
        let mut world = connected(seed);
        let ops = |world: &World, n: usize| world.nodes[n].disk.data.ops().len();
        assert!(acked(&world) > 5 && ops(&world, 1) > 5);
        let mine = world.nodes[1].disk.data.ops().to_vec();
        assert!(world.ledger.missing_in(&mine).is_empty());
        world.net = Net::new(world.setup.lans.len());
        world.net.lanes[0][0].blocked = 1;
        let before = acked(&world);
        run(&mut world);
        assert!(acked(&world) <= before + 6, "only what was under way");
        let missing = world.ledger.missing_in(world.nodes[1].disk.data.ops()).len();
        assert_eq!(missing, 0);
        world.engine_command(0, EngineCommand::SetGate(Gate::Alone { epoch: Epoch(4) }));
        run(&mut world);
        assert!(acked(&world) > before + 6);
    }
}

#[test]
fn the_stream_goes_on_after_a_death_of_either_process() {
    for seed in 1..20 {
        for dead in 0..2 {
            let mut world = connected(seed);
            let before = acked(&world);
            world.nodes[dead].rfs = Some(Process::new(7, 0, RfsActor::new(world.setup.rfs())));
            world.rfs_ends(dead, false);
            run(&mut world);
            world.nodes[dead].engine = Some(Engine::new(9));
            world.engine_command(dead, EngineCommand::Mount);
            let gate = if dead == 0 { Gate::InStep { epoch: E } } else { Gate::ReadOnly };
            world.engine_command(dead, EngineCommand::SetGate(gate));
            let command = if dead == 0 { EngineCommand::Connect } else { EngineCommand::Listen };
            world.engine_command(dead, command);
            run(&mut world);
            assert!(acked(&world) > before + 10, "seed {seed}, node {dead}");
            assert!(world.ledger.missing_in(world.nodes[1].disk.data.ops()).is_empty());
        }
    }
}

#[test]
fn a_drain_ends_when_the_other_copy_has_everything() {
    let mut world = connected(3);
    world.stop_clients();
    world.engine_command(0, EngineCommand::Drain);
    run(&mut world);
    assert_eq!(world.nodes[0].engine.as_ref().and_then(|e| e.drain), None);
    assert_eq!(world.nodes[0].disk.data.ops(), world.nodes[1].disk.data.ops());
}

/// An operation that has its place in a stream which was given up before its disk was done: the synchronisation carries it.
#[test]
fn what_waited_in_a_former_stream_is_acknowledged_in_the_next() {
    for seed in 1..20 {
        let mut world = connected(seed);
        world.nodes[0].disk.slow = true;
        run(&mut world);
        for gate in [Gate::Closed, Gate::Alone { epoch: Epoch(4) }, Gate::Syncing { epoch: Epoch(4) }] {
            world.engine_command(0, EngineCommand::SetGate(gate));
        }
        world.stop_clients();
        world.engine_command(0, EngineCommand::StartSync(hf_types::SyncWish::default()));
        let until = world.now + 30 * SEC;
        while world.nodes[0].engine.as_ref().is_some_and(|engine| engine.sync.is_some()) && world.now < until {
            let next = world.now + SEC / 100;
            world.run_until(next);
        }
        world.engine_command(0, EngineCommand::SetGate(Gate::InStep { epoch: Epoch(4) }));
        run(&mut world);
        assert_eq!(world.nodes[0].mount.pending.len(), 0, "seed {seed}");
    }
}
