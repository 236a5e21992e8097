//! The trace function: how control moved, from where, and to where.

use super::*;

#[test]
fn is_told_how_from_where_and_to_where() {
    let log = Rc::new(RefCell::new(Vec::new()));
    scope(|s, me: &Current<()>| {
        let g = s.spawn(me, |me: &Current<(), ()>, ()| {
            me.set_name("traced");
            me.switch(&me.parent().unwrap(), ()).unwrap();
            let caught = catch_unwind(AssertUnwindSafe(|| me.switch(&me.parent().unwrap(), ())));
            assert!(caught.is_err());
        });
        me.switch(&g, ()).unwrap();
        let told = log.clone();
        let before = set_trace(Some(Rc::new(move |kind, from, to| {
            told.borrow_mut()
                .push((kind, from.to_string(), to.to_string()));
        })));
        assert!(before.is_none());
        me.switch(&g, ()).unwrap();
        me.throw(&g, Box::new(())).unwrap();
        assert!(
            set_trace(None).is_some(),
            "the function set before is returned"
        );
        let quiet = s.spawn(me, |_: &Current<(), ()>, ()| ());
        me.switch(&quiet, ()).unwrap();
    });
    let (main, traced) = ("main".to_owned(), "traced".to_owned());
    assert_eq!(
        *log.borrow(),
        [
            (TraceKind::Switch, main.clone(), traced.clone()),
            (TraceKind::Switch, traced.clone(), main.clone()),
            (TraceKind::Throw, main.clone(), traced.clone()),
            (TraceKind::Switch, traced, main),
        ]
    );
}

#[test]
fn sees_the_start_of_greenlets_made_after_it_was_set() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let told = log.clone();
    set_trace(Some(Rc::new(move |_, _, to| {
        told.borrow_mut().push(to.id())
    })));
    let id = scope(|s, me: &Current<()>| {
        let g = s.spawn(me, |_: &Current<(), ()>, ()| ());
        let id = g.id().unwrap();
        me.switch(&g, ()).unwrap();
        set_trace(None);
        [id, me.id()]
    });
    assert_eq!(*log.borrow(), id);
}
