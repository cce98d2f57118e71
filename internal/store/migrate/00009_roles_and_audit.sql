-- Who may do what, what functions act as, and who did what. Times are microseconds since 1970 in UTC; 0 is never.

-- +goose Up
alter table users add column disabled bigint not null default 0;
alter table access_keys add column description text not null default '';
alter table access_keys add column disabled bigint not null default 0;
alter table access_keys add column created_us bigint not null default 0;
alter table access_keys add column expires_us bigint not null default 0;
create index access_keys_user on access_keys (user_id);

create table agencies (
    id          text primary key,
    domain_id   text not null references domains (id),
    name        text not null,
    description text not null,
    created_us  bigint not null,
    unique (domain_id, name)
);

-- The holder is a user or an agency; project '' is all of the domain.
create table role_bindings (
    holder  text not null,
    project text not null,
    role    text not null,
    primary key (holder, project)
);
create index role_bindings_project on role_bindings (project);

-- Before there were roles everyone could do everything.
insert into role_bindings (holder, project, role) select id, '', 'admin' from users;

-- Entries are added and, when they are old, forgotten; never changed. Ids grow with time.
create table audit (
    id         text primary key,
    at_us      bigint not null,
    domain_id  text not null,
    project    text not null,
    actor_id   text not null,
    actor      text not null,
    acting_for text not null,
    face       text not null,
    operation  text not null,
    action     text not null,
    resource   text not null,
    source     text not null,
    request_id text not null,
    status     bigint not null,
    code       text not null,
    skipped    bigint not null
);
create index audit_time on audit (at_us);

-- +goose Down
drop table audit;
drop table role_bindings;
drop table agencies;
drop index access_keys_user;
alter table access_keys drop column expires_us;
alter table access_keys drop column created_us;
alter table access_keys drop column disabled;
alter table access_keys drop column description;
alter table users drop column disabled;
