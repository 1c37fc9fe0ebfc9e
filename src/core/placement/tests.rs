//! What a plan must always be, whatever the cluster looks like, and a few plans by hand.

use super::*;
use crate::core::command::Want;
use crate::core::ids::{Address, BootId, ConfigVersion, DatastoreId, Epoch, Generation, NetworkId};
use crate::core::state::{HolderProof, Life, Response, Role, Standing};
use proptest::prelude::*;

/// What a host has that VMs may need, or why it may not be used.
type Usable = Result<BTreeSet<FeatureId>, Unfit>;

/// A small cluster that owns what candidates and demands borrow.
#[derive(Debug, Clone)]
struct Example {
    hosts: Vec<(HostId, Host, Usable, Usage)>,
    vms: Vec<Waiting>,
    policy: Policy,
}

#[derive(Debug, Clone)]
struct Waiting {
    definition: VmDefinition,
    seat: Option<HostId>,
    avoid: Option<HostId>,
    first_start: bool,
    exclude: BTreeSet<HostId>,
    lost_in: BTreeSet<String>,
}

impl Example {
    fn candidates(&self) -> Vec<Candidate<'_>> {
        let entries = self.hosts.iter();
        entries
            .map(|(id, host, usable, usage)| Candidate {
                id: *id,
                host,
                usable: usable.as_ref().map_err(|unfit| *unfit),
                usage: *usage,
            })
            .collect()
    }

    fn demands(&self) -> Vec<Demand<'_>> {
        self.vms.iter().map(Waiting::demand).collect()
    }

    fn plan(&self) -> Plan {
        plan(&self.candidates(), &self.demands(), &self.policy)
    }

    /// The demands by urgency, found in another way than the planner does.
    fn by_urgency(&self) -> Vec<&Waiting> {
        let mut vms: Vec<_> = self.vms.iter().collect();
        vms.sort_by(|left, right| {
            let (left, right) = (&left.definition, &right.definition);
            right.priority.cmp(&left.priority).then(right.memory_mib.cmp(&left.memory_mib)).then(left.id.cmp(&right.id))
        });
        vms
    }
}

impl Waiting {
    fn demand(&self) -> Demand<'_> {
        Demand {
            seat: self.seat,
            definition: &self.definition,
            avoid: self.avoid,
            first_start: self.first_start,
            exclude: self.exclude.clone(),
            lost_in: self.lost_in.iter().map(String::as_str).collect(),
        }
    }

    /// Whether the host can take the VM, judged apart from the planner.
    fn can_be_on(&self, candidate: &Candidate<'_>) -> bool {
        let (needs, host, usage) = (&self.definition, candidate.host, &candidate.usage);
        host.memory_mib > 0
            && candidate.usable.is_ok_and(|has| needs.needs.iter().all(|need| has.contains(&FeatureId::of(need))))
            && (needs.bonds.is_empty() || self.seat == Some(candidate.id))
            && !self.exclude.contains(&candidate.id)
            && needs.datastores.is_subset(&host.life.datastores)
            && needs.networks.is_subset(&host.life.networks)
            && has_room(host.memory_mib, usage.memory_mib, needs.memory_mib)
            && has_room(host.millicores, usage.millicores, needs.millicores)
    }
}

/// What needs nothing fits even where too much is spoken for already: it makes nothing worse.
fn has_room(capacity: u64, used: u64, needed: u64) -> bool {
    needed == 0 || used + needed <= capacity
}

fn host(memory_mib: u64, millicores: u64, domain: &str) -> Host {
    Host {
        name: String::new(),
        uuid: 0,
        address: Address(0),
        endpoints: Vec::new(),
        fingerprint: Default::default(),
        failure_domain: domain.to_owned(),
        tags: BTreeSet::new(),
        memory_mib,
        millicores,
        fences: Vec::new(),
        generation: Generation(1),
        life: Life::default(),
        standing: Standing::Admitted,
        past_boots: Vec::new(),
        acknowledged: ConfigVersion(0),
        quarantined: false,
        accounted: true,
        leaving: false,
        drilled: BTreeMap::new(),
    }
}

fn vm(id: u32, memory_mib: u64, millicores: u64, priority: u8) -> Waiting {
    let definition = VmDefinition {
        id: VmId(id),
        name: String::new(),
        uuid: u128::from(id),
        memory_mib,
        millicores,
        datastores: BTreeSet::new(),
        networks: BTreeSet::new(),
        response: Response::Restart,
        priority,
        home: None,
        locked: false,
        needs: BTreeSet::new(),
        bonds: Vec::new(),
        is_transient: false,
        payload: Default::default(),
    };
    Waiting {
        definition,
        seat: None,
        avoid: None,
        first_start: false,
        exclude: BTreeSet::new(),
        lost_in: BTreeSet::new(),
    }
}

/// So many equal, empty hosts of 100 MiB and 100 thousandths of a core, each in its own failure domain.
fn cluster(hosts: u32, vms: Vec<Waiting>) -> Example {
    let host = |id| (HostId(id), host(100, 100, &format!("domain-{id}")), Ok(BTreeSet::new()), Usage::default());
    Example { hosts: (0..hosts).map(host).collect(), vms, policy: Policy::default() }
}

const NEEDS: [&str; 3] = ["bridge br0", "machine q35", "secret ceph"];

fn any_host() -> impl Strategy<Value = (Host, Usable, Usage)> {
    let features = prop::collection::btree_set(0..3_usize, 1..4);
    let features = features.prop_map(|names| names.into_iter().map(|name| FeatureId::of(NEEDS[name])).collect());
    let usable =
        prop_oneof![8 => features.prop_map(Ok), 1 => Just(Err(Unfit::NotAlive)), 1 => Just(Err(Unfit::Quarantined))];
    let size = (prop_oneof![1 => Just(0_u64), 9 => 1..64_u64], 0..64_u64, 0..4_u32);
    let reach = (prop::collection::btree_set(0..3_u16, 1..4), prop::collection::btree_set(0..2_u16, 1..3));
    let used = (0..32_u64, 0..32_u64, 0..3_u32);
    (size, reach, used, usable).prop_map(|((memory, cpu, domain), (datastores, networks), used, usable)| {
        // Domain 0 has no name: such hosts share nothing that is known of.
        let domain = if domain == 0 { String::new() } else { format!("domain-{domain}") };
        let mut host = host(memory, cpu, &domain);
        host.life.datastores = datastores.into_iter().map(DatastoreId).collect();
        host.life.networks = networks.into_iter().map(NetworkId).collect();
        (host, usable, Usage { memory_mib: used.0, millicores: used.1, vms: used.2 + 1, starting: used.2 })
    })
}

fn any_vm() -> impl Strategy<Value = Waiting> {
    let size = (0..24_u64, 0..24_u64, 0..3_u8, prop::collection::btree_set(0..3_usize, 0..2), 0..12_u32);
    let needs = (prop::collection::btree_set(0..3_u16, 0..3), prop::collection::btree_set(0..2_u16, 0..2));
    let hosts = (
        prop::option::of(0..12_u32),
        prop::option::of(0..12_u32),
        any::<bool>(),
        prop::collection::btree_set(0..12_u32, 0..2),
        prop::collection::btree_set(1..4_u32, 0..2),
    );
    (size, needs, hosts).prop_map(
        |((memory, cpu, priority, features, seat), needs, (avoid, home, first_start, exclude, lost_in))| {
            let mut waiting = vm(0, memory, cpu, priority);
            waiting.definition.datastores = needs.0.into_iter().map(DatastoreId).collect();
            waiting.definition.networks = needs.1.into_iter().map(NetworkId).collect();
            waiting.definition.needs = features.into_iter().map(|name| NEEDS[name].to_owned()).collect();
            waiting.definition.home = home.map(HostId);
            waiting.seat = Some(HostId(seat));
            // Few are bound, or little would be left to place.
            waiting.definition.bonds = if seat == 0 { vec!["its disk is there".to_owned()] } else { Vec::new() };
            waiting.avoid = avoid.map(HostId);
            waiting.first_start = first_start;
            waiting.exclude = exclude.into_iter().map(HostId).collect();
            waiting.lost_in = lost_in.into_iter().map(|domain| format!("domain-{domain}")).collect();
            waiting
        },
    )
}

prop_compose! {
    fn any_example()(
        hosts in prop::collection::vec(any_host(), 0..12),
        vms in prop::collection::vec(any_vm(), 0..40),
        parallel_starts in 0..6_u32,
    ) -> Example {
        let number = |(id, (host, usable, usage))| (HostId(id), host, usable, usage);
        let mut vms = vms;
        vms.iter_mut().zip(0..).for_each(|(waiting, id)| waiting.definition.id = VmId(id));
        Example {
            hosts: (0..).zip(hosts).map(number).collect(),
            vms,
            policy: Policy { parallel_starts, ..Policy::default() },
        }
    }
}

/// Follows a plan decision by decision and looks at each one with the cluster as it was at that turn.
fn check_each_turn(example: &Example) -> Result<(), TestCaseError> {
    let plan = example.plan();
    let placed: BTreeMap<_, _> = plan.placed.iter().copied().collect();
    let queued: BTreeMap<_, _> = plan.queued.iter().copied().collect();
    let unplaced: BTreeMap<_, _> = plan.unplaced.iter().cloned().collect();
    prop_assert_eq!(plan.placed.len() + plan.queued.len() + plan.unplaced.len(), example.vms.len());
    let limit = example.policy.parallel_starts;
    let mut candidates = example.candidates();
    for waiting in example.by_urgency() {
        let id = waiting.definition.id;
        let fitting: Vec<_> = candidates.iter().filter(|candidate| waiting.can_be_on(candidate)).collect();
        let free = |host: &&&Candidate<'_>| host.usage.starting < limit;
        let home = waiting.definition.home.filter(|home| waiting.first_start && waiting.avoid != Some(*home));
        let fits_home = home.filter(|home| fitting.iter().any(|host| host.id == *home));
        let elsewhere = || fitting.iter().filter(|host| waiting.avoid != Some(host.id));
        let (host, turn) = match (placed.get(&id), queued.get(&id), unplaced.get(&id)) {
            (Some(&host), None, None) => (host, Turn::Now),
            (None, Some(&host), None) => (host, Turn::Waits),
            (None, None, Some(reasons)) => {
                prop_assert!(fitting.is_empty(), "{id} was left out though it fits: {fitting:?}");
                prop_assert!(reasons.len() <= REASONS && reasons.is_sorted_by_key(|(host, _)| *host));
                continue;
            }
            other => return Err(TestCaseError::fail(format!("{id} is not in exactly one list: {other:?}"))),
        };
        let Some(chosen) = fitting.iter().find(|candidate| candidate.id == host) else {
            return Err(TestCaseError::fail(format!("{id} does not fit on {host}")));
        };
        prop_assert_eq!(turn == Turn::Now, chosen.usage.starting < limit, "{} on {}", id, host);
        match fits_home {
            Some(home) => prop_assert_eq!(host, home),
            None => {
                prop_assert!(waiting.avoid != Some(host) || elsewhere().next().is_none(), "{id} is back on {host}");
                let waits_in_vain = turn == Turn::Waits && elsewhere().any(|candidate| free(&candidate));
                prop_assert!(!waits_in_vain, "{id} waits for {host} though another host is free");
                check_no_better(waiting, chosen, elsewhere().filter(free))?;
            }
        }
        for candidate in candidates.iter_mut().filter(|candidate| candidate.id == host) {
            candidate.usage.add(&waiting.definition, Role::Starting);
        }
    }
    Ok(())
}

/// Looks at every host that could start the VM at once: the search ends early, and must not have missed a better one.
fn check_no_better<'a, 'b: 'a>(
    waiting: &Waiting,
    chosen: &Candidate<'_>,
    free: impl Iterator<Item = &'a &'a Candidate<'b>>,
) -> Result<(), TestCaseError> {
    let demand = waiting.demand();
    let rank = |candidate: &Candidate<'_>| (score::cost(candidate, &demand), candidate.id);
    if let Some(best) = free.map(|candidate| rank(candidate)).min() {
        prop_assert_eq!(rank(chosen), best);
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_decision_is_right_at_its_turn(example in any_example()) {
        check_each_turn(&example)?;
    }

    #[test]
    fn no_host_is_ever_filled_beyond_its_capacity_or_its_parallel_starts(example in any_example()) {
        let plan = example.plan();
        let definitions: BTreeMap<_, _> = example.vms.iter().map(|waiting| (waiting.definition.id, waiting)).collect();
        for (id, host, usable, usage) in &example.hosts {
            let on = |list: &[(VmId, HostId)]| -> Vec<VmId> {
                list.iter().filter(|(_, host)| host == id).map(|(vm, _)| *vm).collect()
            };
            let (placed, queued) = (on(&plan.placed), on(&plan.queued));
            let all = || placed.iter().chain(&queued).map(|vm| &definitions[vm].definition);
            if all().next().is_some() {
                prop_assert!(usable.is_ok() && host.memory_mib > 0);
                let memory = all().map(|needs| needs.memory_mib).sum();
                let cpu = all().map(|needs| needs.millicores).sum();
                prop_assert!(has_room(host.memory_mib, usage.memory_mib, memory), "{id}: {memory} MiB");
                prop_assert!(has_room(host.millicores, usage.millicores, cpu), "{id}: {cpu} millicores");
            }
            let starts = usage.starting as usize + placed.len();
            prop_assert!(placed.is_empty() || starts <= example.policy.parallel_starts as usize);
        }
    }

    #[test]
    fn the_order_of_the_input_has_no_effect(
        (example, hosts, vms) in any_example().prop_flat_map(|example| {
            let (hosts, vms) = (Just(example.hosts.clone()), Just(example.vms.clone()));
            (Just(example), hosts.prop_shuffle(), vms.prop_shuffle())
        }),
    ) {
        let shuffled = Example { hosts, vms, policy: example.policy.clone() };
        prop_assert_eq!(example.plan(), shuffled.plan());
    }

    #[test]
    fn what_is_less_urgent_takes_nothing_from_what_is_more(example in any_example(), priority in 1..3_u8) {
        let mut urgent = example.clone();
        urgent.vms.retain(|waiting| waiting.definition.priority >= priority);
        let (all, alone) = (example.plan(), urgent.plan());
        prop_assert!(all.placed.starts_with(&alone.placed));
        prop_assert!(all.queued.starts_with(&alone.queued));
        prop_assert!(all.unplaced.starts_with(&alone.unplaced));
    }

    #[test]
    fn what_was_added_can_be_taken_back(sizes in prop::collection::vec((0..99_u64, 0..99_u64, any::<bool>()), 0..9)) {
        let mut usage = Usage::default();
        let role = |starts| if starts { Role::Starting } else { Role::Outgoing };
        for &(memory, cpu, starts) in &sizes {
            usage.add(&vm(0, memory, cpu, 0).definition, role(starts));
        }
        prop_assert_eq!(usage.vms as usize, sizes.len());
        prop_assert_eq!(usage.starting as usize, sizes.iter().filter(|size| size.2).count());
        for &(memory, cpu, starts) in &sizes {
            usage.remove(&vm(0, memory, cpu, 0).definition, role(starts));
        }
        prop_assert_eq!(usage, Usage::default());
    }
}

#[test]
fn equal_vms_spread_over_equal_hosts() {
    let plan = cluster(3, (0..6).map(|id| vm(id, 10, 10, 0)).collect()).plan();
    let hosts: Vec<_> = plan.placed.iter().map(|(_, host)| host.0).collect();
    assert_eq!(hosts, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn the_home_is_honoured_at_the_first_start_only() {
    let mut waiting = vm(0, 10, 10, 0);
    waiting.definition.home = Some(HostId(2));
    waiting.first_start = true;
    assert_eq!(cluster(3, vec![waiting.clone()]).plan().placed, [(VmId(0), HostId(2))]);
    waiting.first_start = false;
    assert_eq!(cluster(3, vec![waiting]).plan().placed, [(VmId(0), HostId(0))]);
}

#[test]
fn a_vm_goes_back_to_where_it_failed_only_if_nothing_else_fits() {
    let mut waiting = vm(0, 10, 10, 0);
    waiting.avoid = Some(HostId(0));
    assert_eq!(cluster(2, vec![waiting.clone()]).plan().placed, [(VmId(0), HostId(1))]);
    assert_eq!(cluster(1, vec![waiting]).plan().placed, [(VmId(0), HostId(0))]);
}

#[test]
fn the_struck_rack_is_left_until_the_others_are_much_fuller() {
    let mut lost = vec![vm(0, 5, 5, 0), vm(1, 5, 5, 0), vm(2, 5, 5, 0)];
    lost.iter_mut().for_each(|waiting| waiting.lost_in = ["domain-0".to_owned()].into());
    let hosts: Vec<_> = cluster(2, lost).plan().placed.iter().map(|(_, host)| host.0).collect();
    assert_eq!(hosts, [1, 1, 0]);
}

#[test]
fn a_vm_that_waits_for_its_turn_keeps_its_room() {
    // One host, one start at a time: the second VM waits, and the third must not take the memory that it waits for.
    let mut example = cluster(1, vec![vm(0, 50, 1, 9), vm(1, 40, 1, 5), vm(2, 20, 1, 1)]);
    example.policy.parallel_starts = 1;
    let plan = example.plan();
    assert_eq!((plan.placed, plan.queued), (vec![(VmId(0), HostId(0))], vec![(VmId(1), HostId(0))]));
    let unfit = Unfit::Memory { free_mib: 10, needed_mib: 20 };
    assert_eq!(plan.unplaced, [(VmId(2), vec![(HostId(0), unfit)])]);
}

#[test]
fn a_large_cluster_is_explained_by_a_few_hosts_and_every_kind_of_reason() {
    let mut example = cluster(100, vec![vm(0, 500, 1, 0)]);
    example.hosts[60].2 = Err(Unfit::Quarantined);
    example.hosts[99].1.memory_mib = 0;
    let plan = example.plan();
    let hosts: Vec<_> = plan.unplaced[0].1.iter().map(|(host, _)| host.0).collect();
    assert_eq!(hosts, [0, 1, 2, 3, 4, 5, 60, 99]);
}

#[test]
fn those_who_wait_spread_too() {
    let mut example = cluster(2, (0..4).map(|id| vm(id, 1, 1, 0)).collect());
    example.policy.parallel_starts = 0;
    let hosts: Vec<_> = example.plan().queued.iter().map(|(_, host)| host.0).collect();
    assert_eq!(hosts, [0, 1, 0, 1]);
}

#[test]
fn a_vm_shuns_the_rack_that_it_was_lost_in_and_not_the_one_that_it_left() {
    let mut state = ClusterState::default();
    state.hosts.insert(HostId(0), host(100, 100, "rack"));
    let mut lost = Vm::new(vm(0, 1, 1, 0).definition, Want::Running);
    for (proof, shunned) in [(Proof::Operator, vec!["rack"]), (Proof::Released { refuses: Epoch::NONE }, vec![])] {
        lost.proofs.push(HolderProof { host: HostId(0), boot: BootId(1), epoch: Epoch::NONE, proof });
        assert_eq!(Demand::of(&state, &lost).lost_in, shunned.into_iter().collect());
    }
}
