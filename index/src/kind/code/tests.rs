//! Tests of the items of code, language by language, and of hostile texts.

use super::{Item, Items, LANGUAGES, Language, PARSE_MS_MAX, by_path, by_text, enclosing, items};

fn language(name: &str) -> &'static Language {
    LANGUAGES.iter().find(|language| language.name == name).unwrap()
}

/// What must hold for the items of any text.
fn check(text: &str, found: &Items) {
    let mut open: Vec<&Item> = Vec::new();
    let mut last_start = 0;
    for item in &found.items {
        for range in [&item.bytes, &item.name_bytes, &item.signature] {
            assert!(text.get(range.clone()).is_some(), "{item:?}");
        }
        assert!(item.bytes.start >= last_start, "{item:?}");
        assert!(item.bytes.start <= item.name_bytes.start, "{item:?}");
        assert!(item.name_bytes.end <= item.bytes.end, "{item:?}");
        assert!(item.bytes.start <= item.signature.start, "{item:?}");
        assert!(item.signature.end <= item.bytes.end && item.signature.len() <= 300, "{item:?}");
        assert_eq!(item.name, text[item.name_bytes.clone()]);
        last_start = item.bytes.start;
        while open.last().is_some_and(|around| around.bytes.end <= item.bytes.start) {
            open.pop();
        }
        assert_eq!(item.depth, open.len(), "{item:?}");
        if let Some(around) = open.last() {
            assert!(item.bytes.end <= around.bytes.end, "{item:?} leaves {around:?}");
        }
        open.push(item);
    }
}

/// One line an item: its kind and name, indented by its depth.
fn outline(name: &str, text: &str) -> String {
    let found = items(language(name), text);
    assert!(found.complete);
    check(text, &found);
    let line = |item: &Item| format!("{}{} {}\n", "  ".repeat(item.depth), item.kind, item.name);
    found.items.iter().map(line).collect()
}

/// The text of the item `name`, and its signature.
fn written<'t>(language_name: &str, text: &'t str, name: &str) -> (&'t str, &'t str) {
    let found = items(language(language_name), text);
    let item = found.items.iter().find(|item| item.name == name).unwrap();
    (&text[item.bytes.clone()], &text[item.signature.clone()])
}

fn expect(name: &str, text: &str, outlined: &str) {
    assert_eq!(outline(name, text.trim_start()), outlined.trim_start(), "{name}");
}

#[test]
fn rust() {
    expect(
        "rust",
        r##"
//! Module doc.
use std::fmt;

/// A point.
#[derive(Debug)]
pub struct Vec3 { x: f32 }

// detached

impl fmt::Display for Vec3 {
    /// Formats.
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fn inner() {}
        Ok(())
    }
}
impl<T> my::Foo<T> { const N: usize = 1; }
impl Foo for &'a [Bar] {}
pub trait Shape { type Out; const K: u8; fn area(&self) -> f64; fn d(&self) {} }
pub(crate) enum E { A, B }
union U { a: u8 }
mod tests { #[test] fn t() {} }
mod other;
pub const MAX: usize = 3; static S: &str = "";
type Alias = u8;
macro_rules! mk { () => {} }
extern "C" { fn puts(s: *const u8); }
pub async unsafe fn go<T>() where T: Sized {}
"##,
        r##"
struct Vec3
impl Vec3
  method fmt
    function inner
impl Foo
  const N
impl &'a [Bar]
trait Shape
  type Out
  const K
  method area
  method d
enum E
union U
module tests
  function t
module other
const MAX
static S
type Alias
macro mk
function puts
function go
"##,
    );
}

/// What stands in the macro calls among items counts as if it stood there without them.
#[test]
fn rust_calls_hold_items() {
    expect(
        "rust",
        r##"
cfg_net! {
    /// A socket.
    pub struct UdpSocket { io: u8 }

    impl UdpSocket {
        cfg_rt! { pub async fn bind(&self) -> u8 { fn inner() {} vec![1] } }
    }
    cfg_unix! { mod unix { tokio_thread_local! { static CONTEXT: Context = const { 1 } } } }
}
rt_test! {
    use std::fmt;
    #[test] fn runs() { select! { _ = async { fn hidden() {} } => {} } }
    macro_rules! mk { () => { fn made() {} } }
}
cfg_if! { if #[cfg(unix)] { mod unix; } else { mod other; } }
test_macro! { async fn foo() { 1 } }
mod tests { proptest! { fn adds(a in 0..9, b in 0..9) { let x = 1; } } }
bitflags! { pub struct Flags: u32 { const A = 1; } }
fn last() {}
"##,
        r##"
struct UdpSocket
impl UdpSocket
  method bind
    function inner
module unix
  static CONTEXT
function runs
macro mk
module unix
module other
function foo
module tests
  function adds
struct Flags
function last
"##,
    );
    let text = "fn é() {}\ncfg! {\n    /// Né.\n    #[inline]\n    pub fn f() -> u8 { 1 }\n}\n";
    let (whole, signature) = written("rust", text, "f");
    assert_eq!(whole, "/// Né.\n    #[inline]\n    pub fn f() -> u8 { 1 }");
    assert_eq!(signature, "pub fn f() -> u8");
}

#[test]
fn rust_calls_that_hold_no_items_are_left_alone() {
    let texts = [
        "macro_rules! mk { ($name:ident) => { fn $name() {} struct Made { a: u8 } } }",
        "macro_rules ! mk { () => { fn hidden() {} struct Made { a: u8 } } }",
        "fn f() { mk! { fn hidden() {} struct Hidden { a: u8 } } }",
        "impl A { fn f() { mk! { fn hidden() {} struct Hidden; } } }",
        "const A: u8 = mk! { fn hidden() {} struct Hidden { a: u8 } };",
        "mk! { fn => u8, struct => u16, type => u32, enum => u64 }",
        "mk! { 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 }",
        "mk! { name = a_bench; config = some(); targets = one, two }",
        "mk!(fn hidden() {} struct Hidden { a: u8 });",
    ];
    for text in texts {
        let found = items(language("rust"), text);
        check(text, &found);
        let hidden = ["hidden", "Hidden", "Made"];
        assert!(!found.items.iter().any(|item| hidden.contains(&item.name.as_str())), "{text}");
        assert!(found.items.len() <= 2, "{text}: {found:?}");
    }
    let text = format!("{}fn deep() {{ 1 }}{}", "mk! { ".repeat(9), "}".repeat(9));
    assert_eq!(outline("rust", &text), "");
}

#[test]
fn python() {
    expect(
        "python",
        r##"
"""Doc."""
import os
MAX = 3
name: str = "x"
a, b = 1, 2
x.y = 3
MAX += 1
# comment for f
@dec
@dec2(1)
def f(a: int) -> str:
    """Doc."""
    def inner(): pass
    K = 3
    return a

class A(Base):
    field = 1
    t: int
    @property
    def g(self): ...
    async def h(self): ...
    class In: pass
if TYPE:
    def cond(): pass
type Al = int
if __name__ == "__main__":
    Z = 1
lam = lambda x: x
"##,
        r##"
const MAX
variable name
variable a
variable b
function f
  function inner
class A
  method g
  method h
  class In
function cond
type Al
function lam
"##,
    );
}

#[test]
fn typescript() {
    expect(
        "typescript",
        r##"
import a from "b";
/** Doc. */
export interface User { id: number; name(): string }
export type Id = string | number;
export enum Color { Red, Green }
const enum CE { A }
/** doc */
@Component({a: 1})
export class Foo<T> extends Bar implements X {
  private x = 1;
  handler = () => { };
  #priv = async (a) => a;
  constructor(private a: string) { super(); }
  @Dec() public async get(id: string): Promise<void> {}
  get prop() { return 1; }
  static [Symbol.iterator]() {}
  abstract foo(): void;
}
export abstract class Abs { abstract foo(): void; protected abstract x: string; }
export const f = async (x: number): Promise<number> => x;
const g = function () { const inner = () => 1; };
let plain = 1, other = 2;
export default function () {}
export default class {}
declare module "m" { function q(): void; }
namespace N.S { export function z() {} }
function over(a: string): void;
function over(a: any) {}
export function* gen() {}
declare function decl(x: number): void;
declare const VERSION: string;
abstract class Q {}
export default () => 1;
const { a1, b1 } = foo;
describe("thing", () => { it("works", async () => {}); test.each([1])("x", () => {}); });
module.exports = { foo() {}, bar: () => 1, baz: function () {} };
Foo.prototype.bar = function () {};
exports.q = () => 1;
const obj = { m() {}, n: () => 1 };
declare global { interface Window { a: 1 } }
"##,
        r##"
interface User
  method name
type Id
enum Color
enum CE
class Foo
  property x
  method handler
  method #priv
  method constructor
  method get
  method prop
  method Symbol.iterator
  method foo
class Abs
  method foo
  property x
function f
function g
  function inner
variable plain
variable other
function default
class default
module m
  function q
module N.S
  function z
function over
function over
function gen
function decl
const VERSION
class Q
function default
test thing
  test works
  test x
method foo
method bar
method baz
method bar
function q
const obj
  method m
  method n
interface Window
"##,
    );
}

#[test]
fn tsx() {
    expect(
        "tsx",
        r##"
export const App: React.FC<P> = ({ a }) => { return <div>{a}</div>; };
export default function Page() { return <p/>; }
const M = memo(() => <p/>);
const X = React.forwardRef(function Y(p, r) { return <p/>; });
"##,
        r##"
function App
function Page
const M
const X
  function Y
"##,
    );
}

#[test]
fn javascript() {
    expect(
        "javascript",
        r##"
#!/usr/bin/env node
'use strict';
// doc a
// doc b
export class Foo extends Bar {
  static x = 1;
  handler = () => { };
  #priv = async (a) => a;
  constructor(a) { super(); }
  get prop() { return 1; }
  static async *gen() {}
  static { }
}
export const f = async (x) => x;
const g = function () { const inner = () => 1; };
let plain = 1, other = 2;
export default function () {}
function over(a) {}
module.exports = { foo() {}, bar: () => 1, baz: function () {} };
Foo.prototype.bar = function () {};
exports.q = () => 1;
const obj = { m() {}, n: () => 1 };
var self = this;
export default { name: "comp", methods: { doIt() {} } };
window.x = class {};
"##,
        r##"
class Foo
  property x
  method handler
  method #priv
  method constructor
  method prop
  method gen
function f
function g
  function inner
variable plain
variable other
function default
function over
method foo
method bar
method baz
method bar
function q
const obj
  method m
  method n
variable self
method doIt
class x
"##,
    );
}

#[test]
fn go() {
    expect(
        "go",
        r##"
// Package main.
package main

import "fmt"

// Max is.
const Max = 3
const (
	// A doc
	A = iota
	B
	C, D = 1, 2
)
var x, y int
var (
	z = 1
)
// Server doc.
type Server struct { a int }
type (
	ID string
	Handler interface { Serve(x int) error }
)
type Alias = ID
// Run runs.
func (s *Server) Run(a int) (err error) { f := func() {}; return nil }
func New[T any](x T) *Server { return nil }
func (l List[T]) Len() int { return 0 }
"##,
        r##"
const Max
const A
const B
const C
const D
variable x
variable y
variable z
struct Server
type ID
interface Handler
  method Serve
type Alias
method Run
function New
method Len
"##,
    );
}

#[test]
fn java() {
    expect(
        "java",
        r##"
package a.b;
import java.util.*;
/** Doc. */
@Entity
public class Foo<T> extends Bar implements Baz {
  /** f */
  private static final int MAX = 1;
  int a, b = 2;
  public Foo() { }
  @Override
  public String toString() { return ""; }
  interface In { void m(); default void d() {} int K = 1; }
  enum Color { RED { void x() {} }, GREEN; void m() {} }
  record Point(int x, int y) { Point {} }
  @interface Ann { String value() default ""; }
  static { }
}
record P(int a) {}
module m { }
"##,
        r##"
class Foo
  const MAX
  property a
  property b
  constructor Foo
  method toString
  interface In
    method m
    method d
    const K
  enum Color
    method x
    method m
  class Point
    constructor Point
  interface Ann
    method value
class P
module m
"##,
    );
}

#[test]
fn c() {
    expect(
        "c",
        r##"
#include <stdio.h>
#ifndef FOO_H
#define FOO_H
#define MAX(a,b) ((a)>(b))
#define N 10 \
  + 1
/* doc */
typedef struct point { int x; } point_t;
struct node { struct node *next; };
typedef int (*callback)(int);
typedef unsigned long ulong, *pulong;
enum color { RED };
union u { int a; };
// doc f
static inline int *f(int a) { return 0; }
int (*getf(void))(int) { return 0; }
int proto(int);
char *proto2(int), x;
int global = 3; extern int ext; static const char *names[] = {"a"};
int arr[3];
int (*fp)(int) = 0;
void k(a) int a; { }
struct { int a; } anon;
typedef enum { A, B } en;
#ifdef X
int cond(void) { return 1; }
#endif
#endif
"##,
        r##"
macro MAX
macro N
struct point_t
  struct point
struct node
type callback
type ulong
type pulong
enum color
union u
function f
function getf
function proto
function proto2
function x
variable global
variable ext
const names
variable arr
variable fp
function k
variable anon
enum en
function cond
"##,
    );
}

#[test]
fn cpp() {
    expect(
        "cpp",
        r##"
#pragma once
namespace a::b { namespace { int x; }
/// Doc
template <typename T>
class Foo : public Bar {
 public:
  Foo(int a) : a_(a) {}
  ~Foo();
  virtual int get() const = 0;
  T& operator[](int i) { return v[i]; }
  bool operator==(const Foo&) const;
  operator bool() const { return true; }
  static constexpr int kMax = 3;
  int a_, b_;
  struct In { int z; };
  template <class U> void tm(U u) {}
  using X = int;
  friend void fr(Foo&);
  enum class E { A };
  int (*cb)(int);
};
}
template <> int Foo<int>::bar(int x) { return 1; }
Foo::Foo() : a(1) {}
Foo::~Foo() {}
const std::string& ns::Foo::name() const { return n; }
enum class Color : int { Red };
using Vec = std::vector<int>;
template <class T> using V2 = std::vector<T>;
typedef int I;
auto f() -> int { return 1; }
std::ostream& operator<<(std::ostream& o, const Foo& f) { return o; }
extern "C" { int c_fn(int); void g() {} }
constexpr int kN = 3;
template <class T> concept Cc = true;
namespace fs = std::filesystem;
int* p() { auto l = [](int x) { return x; }; return 0; }
TEST(Suite, Name) { }
TEST_F(Suite2, Name2) { EXPECT_EQ(1,1); }
struct S { int x; } s;
Foo::operator bool() { return 1; }
template <class T> struct Tr<T*> { };
int a{3};
Foo obj(3);
"##,
        r##"
module a::b
  variable x
  class Foo
    method Foo
    method ~Foo
    method get
    method operator[]
    method operator==
    method operator bool
    struct In
    method tm
    type X
    enum E
method bar
method Foo
method ~Foo
method name
enum Color
type Vec
type V2
type I
function f
function operator<<
function c_fn
function g
const kN
type Cc
module fs
function p
test Name
test Name2
struct S
method operator bool
struct Tr
variable a
variable obj
"##,
    );
}

#[test]
fn csharp() {
    expect(
        "csharp",
        r##"
using System;
namespace A.B;
/// <summary>doc</summary>
[Serializable]
public partial class Foo<T> : Bar where T : class {
  const int Max = 1; private int _a, _b;
  public string Name { get; set; }
  public int X => 1;
  public Foo() : base() { }
  ~Foo() {}
  [Test] public async Task<int> GetAsync(int a) { int Local() => 1; return 1; }
  public static Foo operator +(Foo a, Foo b) => a;
  public static implicit operator int(Foo a) => 1;
  public event EventHandler Changed;
  public delegate void D(int a);
  public int this[int i] { get => 1; }
  enum E { A, B }
  interface I { void M(); }
  struct S { }
  record R(int A);
  int IFoo.Bar() => 1;
}
public record struct Rs(int x);
"##,
        r##"
module A.B
class Foo
  const Max
  property _a
  property _b
  property Name
  property X
  constructor Foo
  method ~Foo
  method GetAsync
    function Local
  method operator +
  method operator int
  property Changed
  type D
  method this
  enum E
  interface I
    method M
  struct S
  class R
  method Bar
class Rs
"##,
    );
}

#[test]
fn ruby() {
    expect(
        "ruby",
        r##"
require "x"
# doc
module A
  # Doc
  class B < C
    MAX = 1
    attr_accessor :name, :age
    def initialize(a); end
    def self.create; end
    class << self
      def k; end
    end
    private def priv; end
    def ==(o) = true
    def q?; end
    alias_method :a, :b
    alias x y
    scope :active, -> { where(1) }
    define_method(:dyn) { }
  end
  class X::Y; end
end
def top; end
VERSION = "1"
describe "x" do
  it "works" do end
end
Point = Struct.new(:x) do
  def z; end
end
"##,
        r##"
module A
  class B
    const MAX
    property name
    property age
    method initialize
    method create
    method k
    method priv
    method ==
    method q?
    method dyn
  class Y
function top
const VERSION
test x
  test works
class Point
  method z
"##,
    );
}

#[test]
fn php() {
    expect(
        "php",
        r##"
<?php
namespace App\Models;
use X;
/** doc */
#[Attr]
final class User extends Model implements I {
  use T;
  const MAX = 1, MIN = 2;
  private ?string $name = null, $b;
  public function __construct(private int $a) {}
  /** d */
  #[Test]
  public static function find(int $id): ?self { $f = function () {}; return null; }
}
interface I { public function m(); }
trait T { function t() {} }
enum Suit: string { case A = 'a'; const K = 1; public function l() {} }
function top(int $a): int { function in() {} return 1; }
const C = 1;
define('D', 2);
abstract class Q { abstract function z(); }
$fn = fn($x) => $x;
namespace B { function nb() {} }
"##,
        r##"
module App\Models
class User
  const MAX
  const MIN
  property name
  property b
  method __construct
  method find
interface I
  method m
trait T
  method t
enum Suit
  const K
  method l
function top
  function in
const C
class Q
  method z
module B
  function nb
"##,
    );
}

#[test]
fn swift() {
    expect(
        "swift",
        r##"
import Foundation
/// Doc
@objc public class Foo<T>: Bar, P {
  static let shared = Foo()
  var name: String = ""
  private(set) var count: Int { return 1 }
  init(a: Int) { }
  convenience init?() {}
  deinit { }
  func get(_ id: Int) async throws -> String { func inner() {} ; return "" }
  subscript(i: Int) -> Int { 1 }
  enum K: String { case a, b }
  typealias X = Int
  static func == (l: Foo, r: Foo) -> Bool { true }
}
struct S { let x: Int }
protocol P { var z: Int { get }; func m(); init(); associatedtype A }
extension Foo: Q where T: E { func ext() {} }
enum E { case a(Int); func f() {} }
actor Act { func a() {} }
func top() {}
let g = 1
var (a, b) = (1, 2)
typealias T2 = Int
@main struct App {}
infix operator <>
macro mm() = #externalMacro(module: "a", type: "b")
"##,
        r##"
class Foo
  property shared
  property name
  property count
  constructor init
  constructor init
  method deinit
  method get
    function inner
  method subscript
  enum K
  type X
  method ==
struct S
  property x
interface P
  property z
  method m
  constructor init
  type A
extension Foo
  method ext
enum E
  method f
class Act
  method a
function top
const g
variable a
variable b
type T2
struct App
macro mm
"##,
    );
}

#[test]
fn kotlin() {
    expect(
        "kotlin",
        r##"
package a.b
import c.d
/** Doc */
@Ann
data class User(val id: Int, var n: String) : Base(), I {
  val x = 1
  private lateinit var y: String
  constructor(a: Int) : this(a, "") {}
  init { val local = 1 }
  override fun get(id: Int): String {
    fun inner() {}
    return ""
  }
  companion object {
    const val MAX = 1
    fun of() = 1
  }
  inner class In
  enum class E { A, B }
}
interface I {
  fun m()
  val p: Int
}
object Single { fun s() {} }
enum class Color(val r: Int) { RED(1), GREEN(2) }
fun <T> List<T>.ext(): Int { return 1 }
val g: Int = 1
var h = 2
const val K = 2
val String.prop: Int get() = 1
typealias Alias = Int
annotation class Ann
val (p, q) = foo()
@Test fun `does a thing`() {}
"##,
        r##"
class User
  property x
  property y
  constructor constructor
  method get
    function inner
  object companion
    const MAX
    method of
  class In
  enum E
interface I
  method m
  property p
object Single
  method s
enum Color
function ext
const g
variable h
const K
const prop
type Alias
class Ann
const p
const q
function does a thing
"##,
    );
}

#[test]
fn shell() {
    expect(
        "shell",
        r##"
#!/bin/bash
set -e
# doc
foo() { echo 1; }
function bar { local x=1; inner() { :; }; }
function baz() ( echo )
NAME=value
export PATH_X="a" Q=2
readonly R=1
alias ll='ls -l'
declare -A map=()
if true; then COND=1; cf() { :; }; fi
arr=(a b)
NAME+=x
"##,
        r##"
function foo
function bar
  function inner
function baz
function cf
"##,
    );
}

#[test]
fn sql() {
    expect(
        "sql",
        r##"
-- doc
CREATE TABLE IF NOT EXISTS public.users (id INT PRIMARY KEY, name TEXT NOT NULL);
CREATE VIEW v AS SELECT 1;
CREATE OR REPLACE FUNCTION add_one(a integer) RETURNS integer AS $$ BEGIN RETURN a + 1; END; $$ LANGUAGE plpgsql;
CREATE UNIQUE INDEX idx_name ON users (name);
CREATE TYPE mood AS ENUM ('a');
CREATE MATERIALIZED VIEW mv AS SELECT 1;
CREATE TRIGGER trg AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION f();
CREATE SCHEMA s;
CREATE SEQUENCE sq;
CREATE EXTENSION e;
ALTER TABLE users ADD COLUMN x INT;
CREATE TABLE "Quoted Name" (a int);
CREATE PROCEDURE p() LANGUAGE sql AS $$ select 1; $$;
INSERT INTO users VALUES (1);
CREATE ROLE r;
CREATE DATABASE d;
CREATE POLICY pol ON users;
"##,
        r##"
table users
view v
function add_one
index idx_name
type mood
view mv
trigger trg
module s
sequence sq
table Quoted Name
"##,
    );
}

#[test]
fn html() {
    expect(
        "html",
        r##"
<!DOCTYPE html>
<html><head><title>T</title><script>var a=1;</script><style>b{}</style></head>
<body id="b"><div class="x" id='main'><h1>Hello <b>World</b></h1><p id=foo>t</p></div>
<section><h2 id="s">Sec</h2></section><img id="im"><br/></body></html>
"##,
        r##"
section b
  section main
    heading Hello <b>World</b>
    section foo
  heading Sec
  section im
"##,
    );
}

#[test]
fn css() {
    expect(
        "css",
        r##"
@import "a";
/* doc */
.a > .b, #c { color: red; }
@media (max-width: 1px) { .m { a: b } }
@keyframes spin { from { a: b } to { c: d } }
:root { --x: 1px; }
@font-face { font-family: "X"; }
@supports (display: grid) { .g { a: b; } }
.n { &:hover { a: b } .in { c: d } }
@layer base { html { a: b } }
@charset "utf-8";
@page { margin: 1 }
"##,
        r##"
rule .a > .b, #c
rule @media (max-width: 1px)
  rule .m
rule spin
rule :root
rule @font-face
rule @supports (display: grid)
  rule .g
rule .n
  rule &:hover
  rule .in
rule @layer base
  rule html
rule @page
"##,
    );
}

#[test]
fn json() {
    expect(
        "json",
        r##"
{ "name": "x", "deps": { "a": 1, "b": [1,2] }, "arr": [ {"k": 1} ], "": 2 }
"##,
        r##"
key name
key deps
key arr
"##,
    );
}

#[test]
fn yaml() {
    expect(
        "yaml",
        r##"
# doc
name: x
"q k": 1
deps:
  a: 1
  b: [1, 2]
list:
  - k: 1
--- 
second: 2
"##,
        r##"
key name
key q k
key deps
key list
key second
"##,
    );
}

#[test]
fn toml() {
    expect(
        "toml",
        r##"
# doc
title = "x"
a.b = 1
[package]
name = "y"
# d
[dependencies.serde]
version = "1"
[[bin]]
name = "b"
[[bin]]
name = "c"
"##,
        r##"
key title
key a.b
table package
table dependencies.serde
table bin
table bin
"##,
    );
}

#[test]
fn comments_and_attributes_belong_to_their_item() {
    let rust = "// far\n\n/// Near.\n#[inline]\n\npub fn f() -> u8 {\n    1\n}\n";
    let (bytes, signature) = written("rust", rust, "f");
    assert!(bytes.starts_with("/// Near.") && bytes.ends_with('}'));
    assert_eq!(signature, "pub fn f() -> u8");
    let trailing = "const A: u8 = 1; // of A\nconst B: u8 = 2;\n";
    assert_eq!(written("rust", trailing, "B").0, "const B: u8 = 2;");
    let python = "x = 1\n\n# Why.\n@cached\n@other(1)\nasync def g(a):\n    return a\n";
    let (bytes, signature) = written("python", python, "g");
    assert!(bytes.starts_with("# Why.") && bytes.ends_with("return a"));
    assert_eq!(signature, "async def g(a):");
    let java = "/** Doc. */\n@Entity\npublic class A {\n  @Id @Gen(1)\n  private long id;\n}\n";
    let (bytes, signature) = written("java", java, "A");
    assert!(bytes.starts_with("/** Doc. */"));
    assert_eq!(signature, "public class A");
    assert_eq!(written("java", java, "id").1, "private long id;");
    let typescript = "/** D */\n@Component({})\nexport class A {\n  // m\n  @In() m() {}\n}\n";
    assert!(written("typescript", typescript, "A").0.starts_with("/** D */"));
    assert_eq!(written("typescript", typescript, "A").1, "export class A");
    assert!(written("typescript", typescript, "m").0.starts_with("// m"));
    let toml = "[a]\nx = 1\n# of b\n[b]\ny = 2\n";
    assert_eq!(written("toml", toml, "a").0, "[a]\nx = 1");
    assert_eq!(written("toml", toml, "b").0, "# of b\n[b]\ny = 2");
}

#[test]
fn signatures_are_short_and_whole_chars() {
    let text = format!("const A: &str = \"{}\";", "é".repeat(500));
    let (_, signature) = written("rust", &text, "A");
    assert!(signature.starts_with("const A: &str = \"é") && signature.len() <= 300);
    let title = format!("it(\"{}\", () => {{}});", "ß".repeat(500));
    let found = items(language("javascript"), &title);
    assert_eq!(found.items[0].name, "ß".repeat(100));
}

#[test]
fn the_head_of_a_macro_class_is_no_name() {
    let text =
        "class API_EXPORT Foo {\n  int f();\n};\nclass API Bar : public X {\n  int g();\n};\n";
    assert_eq!(outline("cpp", text), "class Foo\n  method f\nclass Bar\n  method g\n");
}

#[test]
fn paths_name_languages() {
    let name = |path: &str| by_path(path).map(|language| language.name);
    assert_eq!(name("a/b.RS"), Some("rust"));
    assert_eq!(name("a.d.ts"), Some("typescript"));
    assert_eq!(name("a/App.tsx"), Some("tsx"));
    assert_eq!(name("x.h"), Some("c"));
    assert_eq!(name("x.hpp"), Some("cpp"));
    assert_eq!(name("c:\\src\\x.mjs"), Some("javascript"));
    assert_eq!(name("home/.bashrc"), Some("shell"));
    assert_eq!(name("Cargo.lock"), Some("toml"));
    assert_eq!(name("gemfile"), Some("ruby"));
    for none in ["rs", ".rs", "notes.md", "", "a.", "dir.rs/file"] {
        assert_eq!(name(none), None, "{none}");
    }
    let mut seen = std::collections::HashSet::new();
    for language in LANGUAGES {
        for known in language.extensions.iter().chain(language.file_names) {
            assert!(seen.insert(known.to_lowercase()), "{known} is listed twice");
        }
    }
}

#[test]
fn headers_are_told_by_what_is_in_them() {
    let name = |text: &str| by_text("a/x.H", text).map(|language| language.name);
    for cpp in [
        "#pragma once\nclass Foo {\n};\n",
        "namespace a::b {\n}\n",
        "namespace\n{\n}\n",
        "  template<class T>\nstruct X;\n",
        "struct S {\n public:\n  int a;\n};\n",
        "using V = int;\n",
        "int f(const std::string& s);\n",
        "// see /* there\n/* of C?\n */\n/* x */\nclass Foo;\n",
    ] {
        assert_eq!(name(cpp), Some("cpp"), "{cpp}");
    }
    for c in [
        "",
        "struct s { int class; };\nint classify(int), namespace_of(int), using_it(int);\n",
        "/* A http://x\nclass of devices\nstd::x */\nint f(void); // class Foo\n",
        "#ifdef __cplusplus\nextern \"C\" {\n#endif\nint f(void);\n",
        &format!("{}class Foo {{}};\n", "int a;\n".repeat(10_000)),
    ] {
        assert_eq!(name(c), Some("c"), "{}", &c[..c.len().min(80)]);
    }
    let other = |path: &str| by_text(path, "class Foo {};\n").map(|language| language.name);
    assert_eq!((other("x.c"), other("x.hpp"), other("x.md")), (Some("c"), Some("cpp"), None));
}

/// A rule for a node that the grammar does not have can never fire.
#[test]
fn tables_name_nodes_of_their_grammar() {
    for language in LANGUAGES {
        let grammar = (language.grammar)();
        let shared = ["typescript", "tsx", "cpp", "javascript"].contains(&language.name);
        let rules = language.rules.iter().flat_map(|rules| rules.iter().map(|rule| rule.node));
        let lists = [language.wrappers, language.attributes, language.locals, language.leaves];
        let lists = [&lists.concat(), language.calls];
        for node in rules.chain(lists.concat()) {
            let is_known = grammar.id_for_node_kind(node, true) != 0;
            assert!(is_known || shared, "{} has no node `{node}`", language.name);
        }
    }
}

#[test]
fn enclosing_items_are_found() {
    let text = "impl A {\n  fn f() {}\n  fn g() { 1 }\n}\n\nfn h() {}\n";
    let found = items(language("rust"), text).items;
    let names = |at: usize| -> Vec<&str> {
        enclosing(&found, at).into_iter().map(|index| found[index].name.as_str()).collect()
    };
    assert_eq!(names(text.find('1').unwrap()), ["A", "g"]);
    assert_eq!(names(text.find("  fn g").unwrap()), ["A"]);
    assert_eq!(names(text.find("fn h").unwrap()), ["h"]);
    assert_eq!(names(text.find("\nfn h").unwrap()), [""; 0]);
    assert_eq!(names(text.len() + 9), [""; 0]);
    assert!(enclosing(&[], 0).is_empty());
    // Against the plain definition.
    let plain = |at: usize| -> Vec<usize> {
        (0..found.len()).filter(|index| found[*index].bytes.contains(&at)).collect()
    };
    assert!((0..text.len()).all(|at| enclosing(&found, at) == plain(at)));
}

/// These overflow stacks and run out of memory where they are not looked after. Test threads have
/// stacks of 2 MiB, as workers do.
#[test]
fn deep_texts_are_survived() {
    let brackets = [("(", ""), ("{", ""), ("[", ""), ("{", "}"), ("[", "]"), ("(", ")")];
    let mut cases = Vec::new();
    for name in ["rust", "javascript", "json", "c"] {
        cases.extend(brackets.map(|(left, right)| (name, left, right)));
    }
    cases.extend([("rust", "m! {", "}"), ("rust", "m! { mod a {", "}}")]);
    cases.extend([("csharp", "<a", ""), ("kotlin", "<a", ""), ("yaml", "- ", "")]);
    cases.extend([("yaml", "- &a ", ""), ("html", "<a>", "</a>"), ("ruby", "<<A ", "")]);
    for (name, left, right) in cases {
        let text = format!("{}1{}", left.repeat(50_000), right.repeat(50_000));
        let start = std::time::Instant::now();
        check(&text, &items(language(name), &text));
        // The limit holds for the parse and again for the walk; the rest is a busy machine.
        let took = start.elapsed().as_millis();
        assert!(took < u128::from(4 * PARSE_MS_MAX), "{name} {left} took {took} ms");
    }
    let steps: String = (0..600).map(|n| format!("{}if x:\n", " ".repeat(n))).collect();
    check(&steps, &items(language("python"), &steps));
    let keys: String = (0..400).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(!items(language("yaml"), &keys).complete);
}

#[test]
fn large_texts_are_refused_and_said_so() {
    let text = "fn f() {}\n".repeat(super::PARSE_BYTES_MAX / 10 + 1);
    assert_eq!(items(language("rust"), &text), Items::default());
    let text = format!("{{\"a\": \"{}\"}}", "x".repeat(super::DATA_BYTES_MAX));
    let refused = items(language("json"), &text);
    assert!(!refused.complete && !refused.out_of_time);
}

#[test]
fn long_texts_are_parsed_in_pieces_and_lose_nothing_of_the_outermost_level() {
    let one = |n: usize| {
        let body = "    // of the tide\n".repeat(n % 40);
        let inside = format!("impl A{n} {{\n    fn g{n}() {{}}\n}}");
        format!("/// Number {n}.\npub fn f{n}() {{\n{body}}}\n\n{inside}\n\n")
    };
    let text: String = (0..2_000).map(one).collect();
    assert!(text.len() > 4 * super::PIECE_BYTES_MAX, "{} bytes", text.len());
    let language = language("rust");
    let pieces = items(language, &text);
    check(&text, &pieces);
    assert!(pieces.complete && !pieces.has_error);
    let whole = super::language::Language { piece_bytes_max: usize::MAX, ..*language };
    assert_eq!(pieces, items(&whole, &text));
    // Where every line is a place to cut.
    let dense = "fn f() {}\n".repeat(30_000);
    assert_eq!(items(language, &dense).items.len(), 30_000);
}

/// The items of a text of more than three pieces, which are those that it has whole.
fn read_alike(name: &str, text: &str) -> Items {
    let long = std::time::Duration::from_secs(60);
    let language = language(name);
    assert!(text.len() > 3 * super::PIECE_BYTES_MAX, "{name}: {} bytes", text.len());
    let pieces = super::items_within(language, text, long);
    check(text, &pieces);
    let whole = Language { piece_bytes_max: usize::MAX, ..*language };
    let whole = super::items_within(&whole, text, long);
    assert!(whole.complete && pieces.complete && !pieces.is_cut, "{name}");
    for (piece, whole) in pieces.items.iter().zip(&whole.items) {
        assert_eq!(piece, whole, "{name}");
    }
    assert_eq!(pieces.items.len(), whole.items.len(), "{name}");
    pieces
}

/// `head`, half a megabyte of `each` with numbers for `%`, and `tail`.
fn filled(head: &str, each: &str, tail: &str) -> String {
    let mut text = head.to_owned();
    for n in 0.. {
        if text.len() > 500_000 {
            break;
        }
        text.push_str(&each.replace('%', &format!("{n}")));
    }
    text + tail
}

#[test]
fn long_php_reads_in_pieces_as_it_does_whole() {
    let each = r#"/** Number %. */
function f%(int $a): string
{
    $b = "it's } {$a}";
    // Done.
    return $b . '{';
}

#[Attr]
class C% extends B
{
    const K = %;
    private ?string $p = null;

    /** Of %. */
    public function m%(): string
    {
        return <<<SQL
SELECT it's { FROM
SQL;
    }
}

?>
<div class="it's">
  <p>&lt;</p>
</div>

<?php
"#;
    let head = "<?php\n\nnamespace App\\Models;\n\nuse X;\n\n";
    let found = read_alike("php", &filled(head, each, ""));
    assert!(!found.has_error && found.items.len() > 1_000, "{} items", found.items.len());
    let each = r#"    /**
     * Number %.
     */
    public function m%(array $a): array
    {
        return [
            'n' => %,
        ];
    }

    private ?string $p% = null;

"#;
    let head = "<?php\n\nnamespace App;\n\n/** Of all. */\nclass Big extends Small\n{\n";
    let found = read_alike("php", &filled(head, each, "}\n\nfunction last() {}\n"));
    assert_eq!((found.items[1].name.as_str(), found.items[1].kind), ("Big", "class"));
    assert_eq!((found.items[2].name.as_str(), found.items[2].depth), ("m0", 1));
}

/// A class of half a megabyte has no line at its margin, and goes with its head.
#[test]
fn what_is_in_a_long_class_stays_in_it() {
    let java = r#"    /** Number %. */
    @Override
    public int m%(int a) {
        return a + %;
    }

    private static final int K% = %;

"#;
    let head = "package app;\n\n/** Of all. */\npublic class Big extends Small {\n\n";
    read_alike("java", &filled(head, java, "}\n"));
    let csharp = r#"        /// <summary>Number %.</summary>
        public int M%(int a)
        {
            return a + %;
        }

        public int P% { get; set; }

"#;
    let head = r#"using System;

namespace App
{
    /// <summary>Of all.</summary>
    public class Big : Small
    {
"#;
    read_alike("csharp", &filled(head, csharp, "    }\n}\n"));
    let python = r#"    # Number %.
    @cached
    def m%(self, a):
        if a:
            return a
        else:
            return %

"#;
    let head = "import os\n\n\nclass Big(Small):\n    x = 1\n\n";
    read_alike("python", &filled(head, python, "\ndef last():\n    pass\n"));
    let ruby = r#"    # Number %.
    def m%(a)
      if a
        a
      end
    end

"#;
    read_alike("ruby", &filled("module App\n  class Big < Small\n", ruby, "  end\nend\n"));
}

#[test]
fn what_is_in_other_long_things_stays_in_them() {
    let cpp = r#"  /// Number %.
  int m%(int a) {
    return a + %;
  }

"#;
    read_alike("cpp", &filled("class Big : public Small {\npublic:\n", cpp, "};\n"));
    let javascript = r#"  /** Number %. */
  m%: function (a) {
    return a + %;
  },

"#;
    read_alike("javascript", &filled("module.exports = {\n", javascript, "};\n"));
    let rust = r#"    /// Number %.
    pub struct S% { a: u8 }

    impl S% {
        #[inline]
        pub fn m%(&self) {}
    }

"#;
    read_alike("rust", &filled("mod inner {\n", rust, "}\n"));
    read_alike("rust", &filled("cfg_net! {\n", rust, "}\n"));
}

/// In one line there is no place to cut but behind what a tree has whole.
#[test]
fn minified_code_is_cut_between_statements() {
    let long = std::time::Duration::from_secs(60);
    let one = |n: usize| {
        format!("function f{n}(a,b){{var c=a+\"}};function g\"+b;return c?{{k:h(c)}}:[{n},b]}}")
    };
    let functions: Vec<String> = (0..16_000).map(one).collect();
    let text = format!("!function(){{\"use strict\";{}}}();", functions.concat());
    assert!(text.len() > 1 << 20, "{} bytes", text.len());
    let found = super::items_within(language("javascript"), &text, long);
    check(&text, &found);
    assert!(found.complete && found.is_cut);
    for item in &found.items {
        let n: usize = item.name.strip_prefix('f').unwrap().parse().unwrap();
        assert_eq!(text[item.bytes.clone()], functions[n]);
    }
    assert_eq!(found.items.len(), functions.len());
    // Where nothing is around the cuts, nothing is lost.
    read_alike("css", &filled("", ".a%>b{color:red;margin:%px}", ""));
}

/// A token that no piece can hold costs what its line holds, and no more.
#[test]
fn behind_a_line_that_no_piece_holds_code_is_read_on() {
    let line = format!("static A: &str = \"{}\";", "x".repeat(3 * super::PIECE_BYTES_MAX));
    let text = format!("pub const K: u8 = 1;\n\n{line}\n\n/// Behind.\npub const AFTER: u8 = 2;\n");
    let found = items(language("rust"), &text);
    check(&text, &found);
    assert!(found.complete && found.is_cut);
    assert_eq!(found.items[0].name, "K");
    let last = found.items.last().unwrap();
    assert_eq!(&text[last.bytes.clone()], "/// Behind.\npub const AFTER: u8 = 2;");
    let only = items(language("rust"), &line);
    check(&line, &only);
    assert!(only.complete && only.is_cut);
}

#[test]
fn pieces_of_any_length_hold_the_invariants() {
    let mut noise = Noise(11);
    for language in LANGUAGES.iter().filter(|language| language.piece_bytes_max < usize::MAX) {
        for bytes_max in [16, 64, 300] {
            let language = Language { piece_bytes_max: bytes_max, ..*language };
            for _ in 0..6 {
                let n_scraps = noise.next(150);
                let text: String =
                    (0..n_scraps).map(|_| SCRAPS[noise.next(SCRAPS.len())]).collect();
                check(&text, &items(&language, &text));
            }
        }
    }
    let text = include_str!("walk.rs");
    for bytes_max in [64, 1_000, 5_000] {
        let language = Language { piece_bytes_max: bytes_max, ..*language("rust") };
        check(text, &items(&language, text));
    }
}

#[test]
fn what_takes_too_long_is_said() {
    let text = "fn f() { g(1, 2) }\n".repeat(20_000);
    let cut = super::items_within(language("rust"), &text, std::time::Duration::ZERO);
    assert!(cut.out_of_time && !cut.complete, "{} items", cut.items.len());
    let whole = items(language("rust"), "fn f() {}\n");
    assert!(whole.complete && !whole.out_of_time);
}

/// Small numbers without a crate: the tests need noise, not quality.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % below
    }
}

/// Of which texts are made that nobody writes.
const SCRAPS: &[&str] = &[
    "fn ",
    "class A",
    "{",
    "}",
    "(",
    ")",
    "é",
    "\n",
    " ",
    "\"",
    "'",
    "/*",
    "*/",
    "//",
    "#",
    ":",
    "=",
    "<",
    ">",
    "def f",
    "\t",
    "\u{0}",
    "漢",
    "- ",
    "[",
    "]",
    ";",
    ",",
    "=>",
    "@a",
    "let x",
    "struct S",
    "typedef ",
    "namespace n",
    "int *f",
    "CREATE TABLE t",
    "<p id=",
    "\\",
    "`",
    "$",
    "\r\n",
    "\u{feff}",
    "const a = ",
    "export default ",
    "#define X",
    "template<",
    "::",
    "enum ",
    "m! { fn f() {} ",
];

#[test]
fn noise_never_panics() {
    let mut noise = Noise(7);
    for language in LANGUAGES {
        for _ in 0..30 {
            let n_scraps = noise.next(120);
            let text: String = (0..n_scraps).map(|_| SCRAPS[noise.next(SCRAPS.len())]).collect();
            check(&text, &items(language, &text));
        }
        let bytes: Vec<u8> = (0..2000).map(|_| noise.next(256) as u8).collect();
        let text = String::from_utf8_lossy(&bytes);
        check(&text, &items(language, &text));
    }
}

/// A text that ends anywhere, as while it is being written.
#[test]
fn every_prefix_holds_the_invariants() {
    let text = include_str!("walk.rs");
    for end in (0..text.len()).step_by(97).filter(|end| text.is_char_boundary(*end)) {
        check(&text[..end], &items(language("rust"), &text[..end]));
        let inside = format!("m! {{ é! {{ {} }} }}", &text[..end]);
        check(&inside, &items(language("rust"), &inside));
    }
    let own = items(language("rust"), text);
    assert!(own.complete && !own.has_error);
    assert!(own.items.iter().any(|item| item.name == "release" && item.kind == "method"));
}
