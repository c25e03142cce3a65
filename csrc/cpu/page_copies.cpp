#include "cpu/page_copies.hpp"

#include <algorithm>

namespace kvprof {
namespace {

/// The spans of a walk one by one, of which a part may be taken.
class SpanQueue {
 public:
  explicit SpanQueue(PageSpans& source) : source_(source), count_(source.next(spans_, capacity)) {}

  bool empty() const { return count_ == 0; }
  const Span& front() const { return spans_[at_]; }

  /// Where the span after the first one starts; null at the end of what has been fetched.
  const std::byte* next() const { return at_ + 1 < count_ ? spans_[at_ + 1].data : nullptr; }

  void take(std::size_t nbytes) {
    Span& first = spans_[at_];
    first.data += nbytes;
    first.nbytes -= nbytes;
    if (first.nbytes > 0 || ++at_ < count_) return;
    at_ = 0;
    count_ = source_.next(spans_, capacity);
  }

 private:
  static constexpr std::size_t capacity = 256;

  PageSpans& source_;
  Span spans_[capacity];
  std::size_t count_;
  std::size_t at_ = 0;
};

}  // namespace

void copy_spans(PageSpans& sources, PageSpans& targets, CopyKernel copy) {
  SpanQueue from(sources);
  SpanQueue to(targets);
  while (!from.empty() && !to.empty()) {
    const std::size_t nbytes = std::min(from.front().nbytes, to.front().nbytes);
    const bool whole = nbytes == from.front().nbytes;
    copy(to.front().data, from.front().data, nbytes,
         whole ? from.next() : from.front().data + nbytes);
    from.take(nbytes);
    to.take(nbytes);
  }
}

}  // namespace kvprof
