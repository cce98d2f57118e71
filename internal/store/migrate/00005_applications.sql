-- Names that people give to functions, the applications that work in a project, and the records of their calls.

-- +goose Up

-- A title is what a function is called where its name cannot be that.
create table function_titles (
    project text not null,
    package text not null,
    title   text not null,
    name    text not null,
    primary key (project, package, title),
    unique (project, package, name)
);

create table oauth_clients (
    id          text primary key,
    project     text not null,
    user_id     text not null,
    secret_hash bytea not null
);

-- Secrets that were handed out, by their hash.
create table oauth_grants (
    hash       text primary key,
    kind       text not null,
    client     text not null,
    user_id    text not null,
    family     text not null,
    expires_us bigint not null
);

create index oauth_grants_family on oauth_grants (family);
create index oauth_grants_expiry on oauth_grants (expires_us);

-- State: as faas.CallState.
create table calls (
    id         text primary key,
    number     bigint not null,
    project    text not null,
    package    text not null,
    name       text not null,
    source     text not null,
    async      integer not null,
    state      integer not null,
    created_us bigint not null,
    started_us bigint not null,
    ended_us   bigint not null,
    memory     bigint not null,
    code       text not null,
    log        text not null
);

create index calls_listed on calls (project, package, name, number);
create index calls_numbered on calls (number);
create index calls_oldest on calls (created_us);

alter table jobs add column origin text not null default '';

-- +goose Down
alter table jobs drop column origin;
drop table calls;
drop table oauth_grants;
drop table oauth_clients;
drop table function_titles;
