-- What is kept beside functions: events to try them with, tags to find them by, and applications made from templates.

-- +goose Up
create table test_events (
    id         text primary key,
    project    text not null,
    package    text not null,
    name       text not null,
    title      text not null,
    content    bytea not null,
    created_us bigint not null,
    changed_us bigint not null,
    unique (project, package, name, title)
);

create table function_tags (
    project   text not null,
    package   text not null,
    name      text not null,
    tag_key   text not null,
    tag_value text not null,
    primary key (project, package, name, tag_key)
);
create index function_tags_found on function_tags (project, tag_key, tag_value);

create table applications (
    id          text primary key,
    project     text not null,
    title       text not null,
    description text not null,
    template    text not null,
    package     text not null,
    name        text not null,
    function_id text not null,
    url         text not null,
    created_us  bigint not null,
    unique (project, title)
);

-- +goose Down
drop table applications;
drop table function_tags;
drop table test_events;
