-- Releases of the gateways' agent, and who is to run which.

-- +goose Up
create table edge_releases (
    project    text not null,
    version    text not null,
    created_us bigint not null,
    primary key (project, version)
);

create table edge_programs (
    project text not null,
    version text not null,
    arch    text not null,
    digest  text not null,
    size    bigint not null,
    sha256  text not null,
    primary key (project, version, arch)
);

create index edge_programs_digests on edge_programs (digest);

-- Of a gateway, with gateway '' of all of a product, and with both '' of all of a project.
create table edge_release_uses (
    project text not null,
    product text not null,
    gateway text not null,
    version text not null,
    primary key (project, product, gateway)
);

create index edge_release_uses_placed on edge_release_uses (product, gateway);

-- +goose Down
drop table edge_release_uses;
drop table edge_programs;
drop table edge_releases;
