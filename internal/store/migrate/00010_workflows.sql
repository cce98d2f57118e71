-- Workflows, their runs, and what happened in each run.

-- +goose Up

create table flows (
    id          text primary key,
    project     text not null,
    seq         bigint not null,
    name        text not null,
    mode        text not null,
    enterprise  text not null,
    revision    bigint not null,
    created_us  bigint not null,
    modified_us bigint not null,
    doc         text not null,
    unique (project, name)
);

create index flows_listed on flows (project, seq);

-- A run keeps to the definition that it began with.
create table flow_definitions (
    flow     text not null,
    revision bigint not null,
    doc      text not null,
    primary key (flow, revision)
);

-- seq grows with the time of the start. Status: 0 running, 1 success, 2 fail, 3 timeout, 4 cancel. A run that no server holds has node '';
-- wake_us is then when it comes back, null for not by itself.
create table flow_runs (
    seq         bigint primary key,
    flow        text not null,
    id          text not null,
    project     text not null,
    revision    bigint not null,
    express     integer not null,
    status      integer not null,
    source      text not null,
    merge       integer not null,
    depth       integer not null,
    events      integer not null,
    node        text not null,
    wake_us     bigint,
    began_us    bigint not null,
    ended_us    bigint not null,
    updated_us  bigint not null,
    parent      bigint not null,
    parent_task text not null,
    created_by  text not null,
    bytes       bigint not null,
    input       bytea not null,
    headers     bytea,
    output      bytea,
    fault       bytea,
    unique (flow, id)
);

create index flow_runs_listed on flow_runs (flow, seq);
create index flow_runs_asleep on flow_runs (wake_us) where node = '' and wake_us is not null;
create index flow_runs_held on flow_runs (node) where node <> '';
create index flow_runs_children on flow_runs (parent, parent_task) where parent <> 0;
create index flow_runs_running on flow_runs (project, flow) where status = 0;
create index flow_runs_ended on flow_runs (ended_us, bytes) where ended_us > 0;

-- What happened in a run, in order.
create table flow_events (
    run bigint not null,
    n   integer not null,
    doc bytea not null,
    primary key (run, n)
);

-- What is to happen to a run, and was not taken in yet.
create table flow_notes (
    id  bigint primary key,
    run bigint not null,
    doc bytea not null
);

create index flow_notes_of_run on flow_notes (run, id);

create table flow_sums (
    flow        text not null,
    minute      bigint not null,
    started     bigint not null,
    ended       bigint not null,
    failed      bigint not null,
    duration_us bigint not null,
    primary key (flow, minute)
);

-- +goose Down
drop table flow_sums;
drop table flow_notes;
drop table flow_events;
drop table flow_runs;
drop table flow_definitions;
drop table flows;
