//! A server that takes up another herd.conf while it serves. `run` has opened what that names, and has made sure that
//! nothing in it needs a restart.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::capacity::capacity;
use super::start::{dialler_settings, ends, kind_of, locate, node_bounds, pool_bounds, start_dialler, terms};
use super::{LinkThread, Server};
use crate::config::{self, Config};
use crate::dialler::Dialler;
use crate::door::http::Site;
use crate::link::{KeyRing, Neighbour};
use crate::places::Places;
use crate::places::pool::Pool;

/// What the next herd.conf names, opened.
pub struct Renewed<'a> {
    pub keys: KeyRing,
    /// Who answers lookups from now on; None where nothing of that is new.
    pub places: Option<Arc<dyn Places>>,
    /// Called once nothing can fail any more: what is served by HTTP from then on.
    pub site: Box<dyn FnOnce() -> Option<Arc<Site>> + 'a>,
}

impl Server {
    /// Takes up another herd.conf: all of it or nothing.
    ///
    /// # Errors
    /// The system has no room for a further thread or poller; nothing is new then.
    pub fn renew(&mut self, config: &Config, index: usize, renewed: Renewed<'_>) -> io::Result<()> {
        let Renewed { keys, places, site } = renewed;
        let own = &config.servers[index];
        let hall = self.hall.clone();
        let (core, settings) = (&hall.core, &config.settings);
        let (neighbours, node) = (&core.neighbours, &core.node);
        let pool = places.map(|places| hall.places.get().succeed(places, pool_bounds(config))).transpose()?;
        let others: Vec<_> = own.neighbours.iter().map(|&other| &config.servers[other]).collect();
        // The secrets first, as links that come up prove themselves with them.
        let old_keys = neighbours.rekey(keys);
        let is_known =
            |other: &&config::Server| self.threads.links.iter().any(|link| link.outlet.name() == other.name);
        let come: Vec<_> = others.iter().copied().filter(|other| !is_known(other)).collect();
        match self.take_up(config, own, &come) {
            Ok(links) => self.threads.links.extend(links),
            Err(why) => {
                neighbours.rekey(old_keys);
                pool.iter().for_each(Pool::retire);
                return Err(why);
            }
        }
        // From here on nothing fails.
        if let Some(pool) = pool {
            pool.bound_by(&pool_bounds(config));
            // Lookups under way end in the old one.
            hall.places.replace(pool).retire();
        }
        let gone = |link: &LinkThread| !others.iter().any(|other| other.name == link.outlet.name());
        let (gone, stay): (Vec<_>, Vec<_>) = self.threads.links.drain(..).partition(gone);
        self.threads.links = stay;
        core.remove_links(&gone.iter().map(|link| link.outlet.clone()).collect::<Vec<_>>());
        for link in gone {
            // Its thread ends by itself, when it has sent what waits, or has given up.
            link.outlet.leave();
            link.outlet.stop();
        }
        let is_other = neighbours.oddities.own_conf() != config.digest();
        neighbours.oddities.set_own_conf(config.digest());
        neighbours.oddities.clocks.set_hold(Duration::from_secs(settings.forget_after_s.unwrap_or(0)));
        for link in &self.threads.links {
            link.outlet.set_write_timeout(settings.write_timeout);
            let Some(other) = others.iter().find(|other| other.name == link.outlet.name()) else { continue };
            let is_elsewhere = link.route.lead(ends(own, other));
            if is_elsewhere {
                locate(neighbours, other);
            }
            // What both ends have read of the herd is said when a connection begins.
            if is_elsewhere || is_other && !other.plain {
                link.outlet.redial();
            }
        }
        let forgot = node.bounds().forget_after_s;
        node.set_bounds(node_bounds(settings));
        if forgot.is_some() && settings.forget_after_s.is_none() {
            core.flood.feed.begin_anew(node.store.epoch());
        }
        if let Some(journal) = core.journal() {
            journal.set_mode(settings.sync);
        }
        hall.entrance.set_bounds(capacity(config, index));
        hall.unsent.set_max(settings.max_unsent_total);
        hall.terms.replace(terms(config, site()));
        // Whoever waits for something to happen looks at its terms then.
        hall.desks.iter().for_each(|desk| desk.poller.wake());
        Ok(())
    }

    /// Takes up neighbours, and starts their links.
    fn take_up(
        &self,
        config: &Config,
        own: &config::Server,
        come: &[&config::Server],
    ) -> io::Result<Vec<LinkThread>> {
        let core = &self.hall.core;
        let (neighbours, node) = (&core.neighbours, &core.node);
        let diallers = || {
            let dialler = |other: &&config::Server| {
                neighbours.add(Neighbour { name: other.name.clone(), kind: kind_of(other) });
                locate(neighbours, other);
                let id = neighbours.id(&other.name).ok_or_else(|| io::Error::other("too many neighbours"))?;
                let settings = dialler_settings(config, own, other, id);
                Dialler::new(settings, node.clone(), neighbours.clone(), self.hall.clock, &self.hall.sink)
            };
            come.iter().map(dialler).collect::<io::Result<Vec<_>>>()
        };
        let started = diallers().and_then(|diallers| {
            let outlets: Vec<_> = diallers.iter().map(Dialler::outlet).collect();
            core.add_links(&outlets);
            let mut started = Vec::new();
            for dialler in diallers {
                match start_dialler(dialler) {
                    Ok(link) => started.push(link),
                    Err(why) => {
                        started.iter().for_each(|link: &LinkThread| link.outlet.stop());
                        core.remove_links(&outlets);
                        return Err(why);
                    }
                }
            }
            Ok(started)
        });
        if started.is_err() {
            come.iter().filter_map(|other| neighbours.id(&other.name)).for_each(|id| neighbours.remove(id));
        }
        started
    }
}
