-- +goose Up

-- One row: the number of changes of triggers. Every change takes the next number first, so that they become visible in order.
create table trigger_changes (
    one integer primary key check (one = 1),
    seq bigint not null
);
insert into trigger_changes (one, seq) values (1, 0);

-- A row whose trigger went stays for a while (gone_us is not 0), so that every node hears of it.
create table triggers (
    id          text primary key,
    seq         bigint not null unique,
    made_seq    bigint not null,
    project     text not null,
    package     text not null,
    name        text not null,
    qualifier   text not null,
    kind        text not null,
    active      boolean not null,
    uniq        text,
    revision    bigint not null,
    since_us    bigint not null,
    fired_us    bigint not null,
    created_us  bigint not null,
    modified_us bigint not null,
    gone_us     bigint not null,
    data        text not null,
    sealed      bytea
);

create unique index triggers_unique on triggers (uniq);
create index triggers_of_function on triggers (project, package, name, qualifier) where gone_us = 0;
create index triggers_gone on triggers (gone_us) where gone_us > 0;

-- +goose Down
drop table triggers;
drop table trigger_changes;
