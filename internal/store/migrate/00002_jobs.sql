-- Work that was accepted and is done later. State: 0 waiting, 1 running, 2 done, 3 dead, 4 expired, 5 cancelled.

-- +goose Up

-- A lane is a line of jobs: each function has one, and one more for the deliveries of its results.
create table lanes (
    id       bigint primary key,
    project  text not null,
    package  text not null,
    name     text not null,
    delivery integer not null,
    unique (project, package, name, delivery)
);

-- seq is the time of acceptance in microseconds, made unique, so that one index gives the order, the page and the time.
create table jobs (
    seq         bigint primary key,
    id          text not null unique,
    lane        bigint not null,
    state       integer not null,
    due_us      bigint not null,
    since_us    bigint not null,
    began_us    bigint not null default 0,
    ended_us    bigint not null default 0,
    attempts    integer not null default 0,
    interrupted integer not null default 0,
    postponed   integer not null default 0,
    cancel      integer not null default 0,
    node        text not null default '',
    version     text not null,
    alias       text not null,
    source      text not null,
    memory_mb   integer not null,
    parent      text not null,
    dedup       text,
    target      text not null,
    code        text not null default '',
    message     text not null default '',
    bytes       bigint not null,
    event       bytea
);

-- The head of a lane is one step into this index, however many wait.
create index jobs_waiting on jobs (lane, due_us, seq) where state = 0;
create index jobs_running on jobs (node, seq) where state = 1;
create index jobs_listed on jobs (lane, state, seq);
create index jobs_ended on jobs (ended_us, seq) where state > 1;
create index jobs_children on jobs (parent) where parent <> '';
create unique index jobs_dedup on jobs (lane, dedup) where dedup is not null;

-- Each node counts what it does in a row of its own, so that nodes do not wait for each other. Only the sums mean something.
create table job_books (
    node      text primary key,
    accepted  bigint not null,
    done      bigint not null,
    dead      bigint not null,
    cancelled bigint not null,
    waiting   bigint not null,
    running   bigint not null,
    kept      bigint not null
);

-- A node whose beat stands still is gone.
create table job_nodes (
    node text primary key,
    beat bigint not null
);

create table async_configs (
    project    text not null,
    package    text not null,
    name       text not null,
    qualifier  text not null,
    created_us bigint not null,
    changed_us bigint not null,
    doc        text not null,
    primary key (project, package, name, qualifier)
);

create table async_settings (
    project text primary key,
    doc     text not null
);

-- +goose Down
drop table async_settings;
drop table async_configs;
drop table job_nodes;
drop table job_books;
drop table jobs;
drop table lanes;
