-- One schema for SQLite and PostgreSQL. Times are microseconds since 1970 in UTC.

-- +goose Up
create table domains (
    id   text primary key,
    name text not null unique
);

-- The one row of a server that has its first domain; two nodes that start together cannot both write it.
create table owner (
    one       integer primary key check (one = 1),
    domain_id text not null references domains (id)
);

create table projects (
    id        text primary key,
    domain_id text not null references domains (id),
    name      text not null,
    unique (domain_id, name)
);

create table users (
    id            text primary key,
    domain_id     text not null references domains (id),
    name          text not null,
    password_hash text not null,
    unique (domain_id, name)
);

create table access_keys (
    id            text primary key,
    user_id       text not null references users (id),
    sealed_secret bytea not null
);

-- What a project holds. Every change to a project's functions updates its row first, so the row is the project's lock,
-- its counters, and the source of its sequence numbers, which therefore become visible in order.
create table project_usage (
    project    text primary key,
    functions  bigint not null,
    code_bytes bigint not null,
    seq        bigint not null
);

create table functions (
    project     text not null,
    seq         bigint not null,
    package     text not null,
    name        text not null,
    version     text not null,
    name_folded text not null,
    id          text not null,
    revision    bigint not null,
    digest      text not null,
    code_bytes  bigint not null,
    created_us  bigint not null,
    modified_us bigint not null,
    doc         text not null,
    primary key (project, seq),
    unique (project, package, name, version)
);

create index functions_listed on functions (project, seq) where version = 'latest';
create index functions_digest on functions (digest);

-- +goose Down
drop table functions;
drop table project_usage;
drop table access_keys;
drop table users;
drop table projects;
drop table owner;
drop table domains;
